//! Operators of this host that tract's reader of ONNX gets in place of its own, or beside them.

use std::collections::HashMap;
use std::sync::LazyLock;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::logic::{CompEq, CompGT, CompGTE, CompLT, CompLTE};
use tract_onnx::tract_hir::infer::{InferenceOp, Solver, TensorProxy};
use tract_onnx::tract_hir::internal::{
    Expansion, InferenceResult, InferenceRulesOp, check_input_arity, check_output_arity,
};
use tract_onnx::tract_hir::ops::binary::{self, wire_cast, wire_rank_broadcast};
use tract_onnx::tract_hir::ops::expandable::expand;
use tract_onnx::tract_hir::to_typed;

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
    register.insert("ArrayFeatureExtractor", |_, _| Ok((expand(FeatureExtractor), Vec::new())));
    for name in CORRECTED {
        register.insert(name, corrected);
    }
    register.insert("Equal", |_, _| comparison(CompEq));
    register.insert("Greater", |_, _| comparison(CompGT));
    register.insert("GreaterOrEqual", |_, _| comparison(CompGTE));
    register.insert("Less", |_, _| comparison(CompLT));
    register.insert("LessOrEqual", |_, _| comparison(CompLTE));
    register.insert(ReverseAxis::NAME, |_, node| Ok((Box::new(ReverseAxis { axis: first_int(node) }), Vec::new())));
    register
        .insert(ZeroState::NAME, |_, node| Ok((expand(ZeroState { batch_first: first_int(node) == 1 }), Vec::new())));
    register.insert(CellState::NAME, |_, _| Ok((Box::new(CellState), Vec::new())));
    onnx
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

fn comparison(operator: impl BinMiniOp) -> Built {
    Ok((expand(Comparison(Box::new(operator))), Vec::new()))
}

/// A comparison. Dimensions that vary are compared when they are known: tract compares their expressions when it loads a
/// graph, and takes different ones for different numbers.
#[derive(Clone, Debug)]
struct Comparison(Box<dyn BinMiniOp>);

impl Expansion for Comparison {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        binary::rules(solver, inputs, outputs, |_, _| Ok(DatumType::Bool))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let datum = |input: usize| -> TractResult<DatumType> {
            let datum = model.outlet_fact(inputs[input])?.datum_type;
            Ok(if datum == DatumType::TDim { DatumType::I64 } else { datum })
        };
        if let Some(decided) = self.decided(model, inputs)? {
            return Ok(tvec!(model.add_const(prefix, decided)?));
        }
        let common = self.0.operating_datum_type(datum(0)?, datum(1)?)?;
        let wires = wire_rank_broadcast(prefix, model, inputs)?;
        let wires = wire_cast(prefix, model, &wires, common)?;
        model.wire_node(prefix, TypedBinOp(self.0.clone(), None), &wires)
    }
}

impl Comparison {
    /// The result for dimensions of which it is the same whatever their sizes are: equal expressions, expressions at a fixed
    /// distance, and sizes beside negative numbers. `None` if a pair is not decided.
    fn decided(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Option<Tensor>> {
        let (left, right) = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
        let (Some(left), Some(right)) = (&left.konst, &right.konst) else { return Ok(None) };
        if left.datum_type() != DatumType::TDim && right.datum_type() != DatumType::TDim {
            return Ok(None);
        }
        let (left, right) = (left.cast_to::<TDim>()?, right.cast_to::<TDim>()?);
        let shape = multi_broadcast(&[left.shape(), right.shape()])?;
        let (left, right) = (left.to_plain_array_view::<TDim>()?, right.to_plain_array_view::<TDim>()?);
        let (left, right) = (left.broadcast(&*shape), right.broadcast(&*shape));
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        let signs: Option<Vec<i64>> =
            left.iter().zip(&right).map(|(left, right)| sign_of_difference(left, right)).collect();
        let Some(signs) = signs else { return Ok(None) };
        let signs = tract_ndarray::ArrayD::from_shape_vec(&*shape, signs)?.into_tensor();
        let zeros = Tensor::zero_dt(DatumType::I64, &shape)?;
        let mut result = Tensor::zero_dt(DatumType::Bool, &shape)?;
        self.0.eval_out_of_place(&mut result, &signs, &zeros)?;
        Ok(Some(result))
    }
}

/// The sign of the difference of two dimensions, if it is the same for all sizes.
fn sign_of_difference(left: &TDim, right: &TDim) -> Option<i64> {
    if let Ok(difference) = (left.clone() - right.clone()).simplify().to_i64() {
        return Some(difference.signum());
    }
    let negative = |dimension: &TDim| dimension.to_i64().is_ok_and(|size| size < 0);
    match (negative(left), negative(right)) {
        (false, true) if is_size(left) => Some(1),
        (true, false) if is_size(right) => Some(-1),
        _ => None,
    }
}

/// Whether an expression is never negative, because it has nothing but sizes in it.
fn is_size(dimension: &TDim) -> bool {
    match dimension {
        TDim::Val(value) => *value >= 0,
        TDim::Sym(_) => true,
        TDim::Add(terms) | TDim::Mul(terms) => terms.iter().all(is_size),
        TDim::MulInt(factor, term) => *factor >= 0 && is_size(term),
        TDim::Div(term, _) => is_size(term),
        _ => false,
    }
}

/// `ArrayFeatureExtractor`: elements of the last axis, by indices in any shape. tract keeps the shape of the indices, and one
/// row too few of a list.
#[derive(Clone, Debug)]
struct FeatureExtractor;

impl FeatureExtractor {
    fn shape(data: &[TDim], indices: &[TDim]) -> TVec<TDim> {
        let rows = if data.len() == 1 { &[TDim::Val(1)] } else { &data[..data.len().saturating_sub(1)] };
        rows.iter().cloned().chain([indices.iter().product()]).collect()
    }
}

impl Expansion for FeatureExtractor {
    fn name(&self) -> StaticName {
        "ArrayFeatureExtractor".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.given_2(&inputs[0].shape, &inputs[1].shape, |solver, data, indices| {
            solver.equals(&outputs[0].shape, FeatureExtractor::shape(&data, &indices))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let shape = model.outlet_fact(inputs[1])?.shape.to_tvec();
        ensure!(rank > 0, "ArrayFeatureExtractor takes elements of a tensor with axes");
        let indices = wire_cast(prefix, model, &inputs[1..], DatumType::I64)?;
        let flat = match shape.len() {
            0 => AxisOp::Add(0),
            _ => AxisOp::Reshape(0, shape.clone(), tvec!(shape.iter().product())),
        };
        let indices = model.wire_node(format!("{prefix}/indices"), flat, &indices)?;
        let gather = Gather { axis: rank - 1, output_type: None };
        let gathered = model.wire_node(format!("{prefix}/gathered"), gather, &[inputs[0], indices[0]])?;
        // A list is a table of one row.
        if rank == 1 { model.wire_node(prefix, AxisOp::Add(0), &gathered) } else { Ok(gathered) }
    }
}

/// The elements along an axis in the reverse order. A negative axis counts from the last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ReverseAxis {
    axis: i64,
}

fn first_int(node: &NodeProto) -> i64 {
    node.attribute.first().map_or(0, |attribute| attribute.i)
}

impl ReverseAxis {
    const NAME: &'static str = "ReverseAxis";

    fn reversed<T: Datum>(&self, tensor: &Tensor) -> TractResult<Tensor> {
        let mut view = tensor.to_plain_array_view::<T>()?;
        let axis = if self.axis < 0 { self.axis + i64::try_from(view.ndim())? } else { self.axis };
        view.invert_axis(tract_ndarray::Axis(usize::try_from(axis)?));
        Ok(view.to_owned().into_tensor())
    }
}

impl Op for ReverseAxis {
    fn name(&self) -> StaticName {
        ReverseAxis::NAME.into()
    }

    op_as_typed_op!();
}

impl EvalOp for ReverseAxis {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let reversed = dispatch_datum!(Self::reversed(inputs[0].datum_type())(self, &inputs[0]))?;
        Ok(tvec!(reversed.into_tvalue()))
    }
}

impl TypedOp for ReverseAxis {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

impl InferenceRulesOp for ReverseAxis {
    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    as_op!();
    to_typed!();
}

/// Zeros in the shape of the initial state of a recurrent operator, whose sequence and recurrent weights are the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ZeroState {
    batch_first: bool,
}

impl ZeroState {
    const NAME: &'static str = "ZeroState";

    /// From the shapes of the sequence and of the weights.
    fn shape<D: DimLike>(&self, sequence: &[D], weights: &[D]) -> TVec<D> {
        let (directions, hidden) = (weights[0].clone(), weights[2].clone());
        if self.batch_first {
            tvec!(sequence[0].clone(), directions, hidden)
        } else {
            tvec!(directions, sequence[1].clone(), hidden)
        }
    }
}

impl Expansion for ZeroState {
    fn name(&self) -> StaticName {
        ZeroState::NAME.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].rank, 3)?;
        solver.equals(&inputs[1].rank, 3)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.given_2(&inputs[0].shape, &inputs[1].shape, move |solver, sequence, weights| {
            solver.equals(&outputs[0].shape, self.shape(&sequence, &weights))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let (sequence, weights) = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
        let shape = self.shape(&sequence.shape.to_tvec(), &weights.shape.to_tvec());
        let op = Zeros { shape: shape.into(), datum: sequence.datum_type };
        model.wire_node(prefix, op, &inputs[..1])
    }
}

/// Zeros whose shape is known when the graph runs. tract does not look into them, as it does into constants, whose shape it
/// then takes for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Zeros {
    shape: ShapeFact,
    datum: DatumType,
}

impl Op for Zeros {
    fn name(&self) -> StaticName {
        ZeroState::NAME.into()
    }

    op_as_typed_op!();
}

impl EvalOp for Zeros {
    not_out_of_plan!();

    fn eval(&self, context: &EvalContext, _: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = self.shape.eval_to_usize(context.symbols)?;
        Ok(tvec!(Tensor::zero_dt(self.datum, &shape)?.into_tvalue()))
    }
}

impl TypedOp for Zeros {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.datum.fact(self.shape.clone())))
    }

    as_op!();
}

/// The initial cell state of an LSTM, as it is. tract makes one input of two that are equal, also where they are states that
/// a loop changes: the hidden state and the cell state then share their values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CellState;

impl CellState {
    const NAME: &'static str = "CellState";
}

impl Op for CellState {
    fn name(&self) -> StaticName {
        CellState::NAME.into()
    }

    op_as_typed_op!();
}

impl EvalOp for CellState {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }
}

impl TypedOp for CellState {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

impl InferenceRulesOp for CellState {
    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    as_op!();
    to_typed!();
}
