//! Corrections of a planned model where tract's operators leave ONNX: a different result, a panic, or an error for values that
//! are allowed. Each is shown by a case of the tests in `conformance`.
//!
//! Some corrections are made on the typed model, before tract computes what depends on no input; the others on the optimized
//! model, so that tract still finds the patterns that it replaces by faster operators.

mod comparison;
mod doubles;
mod features;
mod guard;
mod indices;
mod logarithms;
mod operators;
mod patterns;
mod reduction;
mod states;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::logic::IfThenElse;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_core::ops::scan::Scan;

use crate::runtime::LoadError;

pub(super) use guard::{Guard, Guarded};
pub(super) use indices::BadValue;
pub(super) use operators::onnx;

/// Corrects a model whose operators tract has typed, and the bodies inside it.
pub(super) fn typed(model: &mut TypedModel) -> TractResult<()> {
    visit_all(model, &mut |model| {
        graph(model)?;
        patterns::replace(model)
    })
}

/// Corrects the nodes of one graph.
fn graph(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let node = &model.nodes()[id];
        if let Some(logical) = of_booleans(model, node)? {
            model.nodes_mut()[id].op = Box::new(logical);
        } else if let Some(guard) = Guard::before_optimization(model, node)? {
            guard_node(model, id, guard);
        }
    }
    Ok(())
}

/// Why a node is refused; `None` if it is not.
type Reason = Option<&'static str>;

/// Refuses the first node that there is a reason for. Bodies are looked at with the graph around them, as long as tract has
/// not planned them.
pub(super) fn refuse(
    model: &mut TypedModel,
    reason: fn(&TypedModel, &TypedNode) -> TractResult<Reason>,
) -> Result<(), LoadError> {
    let mut refused = None;
    visit_all(model, &mut |model| {
        for node in model.nodes() {
            if let Some(why) = reason(model, node)? {
                let (operator, node) = (node.op().name().into_owned(), node.name.clone());
                refused.get_or_insert(LoadError::Operator { operator, node, why });
            }
        }
        Ok(())
    })
    .map_err(super::planning)?;
    refused.map_or(Ok(()), Err)
}

/// The reason for operators that tract runs as others, or not at all.
pub(super) fn unsupported(model: &TypedModel, node: &TypedNode) -> TractResult<Reason> {
    let facts = model.node_input_facts(node.id)?;
    let datum = |wanted: &[DatumType]| facts.iter().any(|fact| wanted.contains(&fact.datum_type));
    Ok(match &*node.op().name() {
        "ShiftLeft" | "ShiftRight" if datum(&[DatumType::I8, DatumType::I16, DatumType::I32, DatumType::I64]) => {
            Some("shifts signed integers, which this host does not compute; cast them to unsigned ones")
        }
        "EinSum" if datum(&[DatumType::I64, DatumType::U64, DatumType::U32, DatumType::I16, DatumType::U16]) => Some(
            "multiplies matrices of integers, which this host computes for INT8, UINT8 and INT32 alone; cast to FP32",
        ),
        "CumSum" if datum(&[DatumType::TDim]) => {
            Some("adds up dimensions that vary, which this host does not compute; cast them to FP32")
        }
        _ => None,
    })
}

/// A Dropout that is left when tract has removed those that do nothing.
pub(super) fn in_training(_: &TypedModel, node: &TypedNode) -> TractResult<Reason> {
    let why = "is in training mode, in which it drops elements at random; export the model for inference";
    Ok((node.op().name() == "Dropout").then_some(why))
}

fn visit_all(model: &mut TypedModel, visit: &mut impl FnMut(&mut TypedModel) -> TractResult<()>) -> TractResult<()> {
    for node in model.nodes_mut() {
        if let Some(scan) = node.op_as_mut::<Scan>() {
            visit_all(&mut scan.body, visit)?;
        } else if let Some(both) = node.op_as_mut::<IfThenElse>() {
            visit_all(&mut both.then_body, visit)?;
            visit_all(&mut both.else_body, visit)?;
        }
    }
    visit(model)
}

/// Makes INT64 of the outputs that tract holds as dimensions, which it leaves as expressions of those that vary.
pub(super) fn concrete_outputs(model: &mut TypedModel) -> TractResult<()> {
    let mut outputs = model.output_outlets()?.to_vec();
    for (at, outlet) in outputs.iter_mut().enumerate() {
        if model.outlet_fact(*outlet)?.datum_type == DatumType::TDim {
            *outlet = model.wire_node(format!("output-{at}/int64"), cast(DatumType::I64), &[*outlet])?[0];
        }
    }
    model.select_output_outlets(&outputs)
}

/// Corrects a model that tract has optimized; bodies are given to it one by one.
pub(super) fn optimized(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        if let Some(guard) = Guard::after_optimization(model, &model.nodes()[id])? {
            guard_node(model, id, guard);
        }
    }
    Ok(())
}

/// The maximum of truth values is whether any is true, and their minimum whether all are.
fn of_booleans(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Reduce>> {
    let Some(reduce) = node.op_as::<Reduce>() else { return Ok(None) };
    let reducer = match reduce.reducer {
        Reducer::Max => Reducer::Any,
        Reducer::Min => Reducer::All,
        _ => return Ok(None),
    };
    let truth = model.outlet_fact(node.inputs[0])?.datum_type == DatumType::Bool;
    Ok(truth.then(|| Reduce { axes: reduce.axes.clone(), reducer }))
}

fn guard_node(model: &mut TypedModel, id: usize, guard: Guard) {
    let node = &mut model.nodes_mut()[id];
    node.op = Box::new(Guarded { inner: node.op.clone(), guard });
}
