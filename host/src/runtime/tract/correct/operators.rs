//! Operators of this host that tract's reader of ONNX gets in place of its own, or beside them.

use std::collections::HashMap;
use std::sync::LazyLock;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::BinMiniOp;
use tract_onnx::tract_core::ops::logic::{CompEq, CompGT, CompGTE, CompLT, CompLTE};
use tract_onnx::tract_hir::infer::{InferenceOp, Solver, TensorProxy};
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult};
use tract_onnx::tract_hir::ops::expandable::expand;

use super::comparison::Comparison;
use super::features::FeatureExtractor;
use super::states::{SameShape, ZeroState};

/// Operators of tract that are corrected where they are read, because tract may compute them of constants at once.
const CORRECTED: [&str; 17] = [
    "Cast",
    "GatherND",
    "HardSwish",
    "LeakyRelu",
    "OneHot",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Round",
    "ScatterND",
    "Sigmoid",
];

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// A reader of ONNX with these operators.
pub(in crate::runtime::tract) fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx();
    let register = &mut onnx.op_register;
    register.insert("ArrayFeatureExtractor", |_, _| built(expand(FeatureExtractor)));
    for name in CORRECTED {
        register.insert(name, corrected);
    }
    register.insert("Equal", |_, _| comparison(CompEq));
    register.insert("Greater", |_, _| comparison(CompGT));
    register.insert("GreaterOrEqual", |_, _| comparison(CompGTE));
    register.insert("Less", |_, _| comparison(CompLT));
    register.insert("LessOrEqual", |_, _| comparison(CompLTE));
    register
        .insert(SameShape::REVERSE_AXIS, |_, node| built(Box::new(SameShape::ReverseAxis { axis: first_int(node) })));
    register.insert(SameShape::CELL_STATE, |_, _| built(Box::new(SameShape::CellState)));
    register.insert(ZeroState::NAME, |_, node| built(expand(ZeroState { batch_first: first_int(node) == 1 })));
    onnx
}

/// An operator that takes nothing from the graph around it.
fn built(operator: Box<dyn InferenceOp>) -> Built {
    Ok((operator, Vec::new()))
}

fn comparison(operator: impl BinMiniOp) -> Built {
    built(expand(Comparison(Box::new(operator))))
}

/// The first attribute, of an operator that a rewritten graph has.
fn first_int(node: &NodeProto) -> i64 {
    node.attribute.first().map_or(0, |attribute| attribute.i)
}

fn corrected(context: &ParsingContext, node: &NodeProto) -> Built {
    static TRACT: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);
    let builder = TRACT.op_register.0.get(&node.op_type).context("tract does not have the operator")?;
    let (operator, closures) = builder(context, node)?;
    Ok(match operator.as_op().downcast_ref::<Box<dyn Expansion>>() {
        Some(expansion) => (expand(Corrected(expansion.clone())), closures),
        None => (operator, closures),
    })
}

/// An operator of tract whose parts are corrected as they are made.
#[derive(Clone, Debug)]
struct Corrected(Box<dyn Expansion>);

impl Expansion for Corrected {
    fn name(&self) -> StaticName {
        Expansion::name(&*self.0)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Expansion::nboutputs(&*self.0)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        Expansion::rules(&*self.0, solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        // tract computes a node of constants as it is made. In a model of their own, with an input that is not known, the
        // nodes are only made; they are corrected, and moved.
        let mut apart = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
        let mut moved = HashMap::new();
        let mut sources = TVec::new();
        for (at, input) in inputs.iter().enumerate() {
            let fact = model.outlet_fact(*input)?;
            let fact = if at == 0 { fact.without_value() } else { fact.clone() };
            let source = apart.add_source(format!("{prefix}/input-{at}"), fact)?;
            moved.insert(source, *input);
            sources.push(source);
        }
        let outputs = self.0.wire(prefix, &mut apart, &sources)?;
        super::graph(&mut apart)?;
        for node in apart.nodes().iter().skip(sources.len()) {
            let given: TVec<OutletId> = node.inputs.iter().map(|input| moved[input]).collect();
            let wires = model.wire_node(&node.name, node.op.clone(), &given)?;
            moved.extend(wires.into_iter().enumerate().map(|(slot, wire)| (OutletId::new(node.id, slot), wire)));
        }
        Ok(outputs.iter().map(|output| moved[output]).collect())
    }
}
