//! Chains of tract's operators that stand for one of ONNX, and overflow where it does not.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};

use super::{Guard, Guarded};

/// `Ln(Softmax(x))` becomes a logarithmic softmax, and `Ln(Sum(Exp(x)))` becomes one operator.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        if is_function(&model.nodes()[id], "Ln") {
            if let Some(patch) = log_softmax(model, id)? {
                patch.apply(model)?;
            } else if let Some(patch) = log_sum_exp(model, id)? {
                patch.apply(model)?;
            }
        }
    }
    Ok(())
}

fn is_function(node: &TypedNode, name: &str) -> bool {
    node.op_as::<ElementWiseOp>().is_some_and(|op| op.0.name() == name)
}

/// The Softmax may end in operators that only change the shape: tract writes old versions of it as two dimensions.
fn log_softmax(model: &TypedModel, id: usize) -> TractResult<Option<TypedModelPatch>> {
    let mut chain = Vec::new();
    let mut at = model.nodes()[id].inputs[0].node;
    while model.nodes()[at].op_is::<AxisOp>() {
        chain.push(at);
        at = model.nodes()[at].inputs[0].node;
    }
    let node = &model.nodes()[at];
    let softmax = node.op_as::<Softmax>().filter(|softmax| softmax.kind == SoftmaxKind::Softmax);
    let Some(softmax) = softmax else { return Ok(None) };
    let mut patch = TypedModelPatch::default();
    let op = Softmax { kind: SoftmaxKind::LogSoftmax, ..softmax.clone() };
    let input = patch.tap_model(model, node.inputs[0])?;
    let mut wire = patch.wire_node(&model.nodes()[id].name, op, &[input])?[0];
    for (step, shape) in chain.iter().rev().enumerate() {
        let name = format!("{}.{step}", model.nodes()[id].name);
        wire = patch.wire_node(name, model.nodes()[*shape].op.clone(), &[wire])?[0];
    }
    patch.shunt_outside(model, id.into(), wire)?;
    Ok(Some(patch))
}

fn log_sum_exp(model: &TypedModel, id: usize) -> TractResult<Option<TypedModelPatch>> {
    let sum = &model.nodes()[model.nodes()[id].inputs[0].node];
    let Some(reduce) = sum.op_as::<Reduce>().filter(|reduce| reduce.reducer == Reducer::Sum) else { return Ok(None) };
    let exp = &model.nodes()[sum.inputs[0].node];
    if !is_function(exp, "Exp") {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::default();
    let input = patch.tap_model(model, exp.inputs[0])?;
    let op = Guarded { inner: sum.op.clone(), guard: Guard::LogSumExp(reduce.axes.clone()) };
    let wire = patch.wire_node(&model.nodes()[id].name, op, &[input])?[0];
    patch.shunt_outside(model, id.into(), wire)?;
    Ok(Some(patch))
}
