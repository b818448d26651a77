//! A graph from bytes, and inputs that fit its signature.

use bulkhead::numbers::to_usize;
use bulkhead::tensor::{Datatype, NamedTensors, Signature, Tensor, TensorSpec};

use super::builder::{Builder, F32, I64, SIZES, Value, file};
use super::bytes::Bytes;
use super::operators;

/// Most operators that are picked from the table.
const OPERATORS: usize = 6;

/// Sizes that a request gives to a dimension that varies. The vast ones fit only into an empty tensor.
const VARYING: [u64; 14] = [1, 4, 2, 3, 8, 16, 64, 200, 1000, 0, 0, 1 << 20, 1 << 33, 1 << 61];

/// Most elements of an input.
const ELEMENTS: u64 = 1 << 17;

/// The ONNX file that these bytes make.
pub(super) fn graph(bytes: &mut Bytes) -> Vec<u8> {
    let mut builder = Builder::new(bytes);
    let count = 1 + builder.bytes.below(3);
    let inputs: Vec<Value> = (0..count).map(|_| input(&mut builder)).collect();
    builder.values.clone_from(&inputs);
    let operators = 1 + builder.bytes.below(OPERATORS);
    (0..operators).for_each(|_| operators::any(&mut builder));
    let last = builder.values.last().cloned().unwrap_or_else(|| inputs[0].clone());
    let mut outputs = vec![last];
    if builder.bytes.one_in(4) {
        let at = builder.bytes.below(builder.values.len());
        let other = builder.values[at].clone();
        if other.name != outputs[0].name && !inputs.iter().any(|input| input.name == other.name) {
            outputs.push(other);
        }
    }
    let graph = builder.finish(&inputs, &outputs);
    file(graph)
}

fn input(builder: &mut Builder) -> Value {
    let rank = builder.bytes.pick(&[2, 4, 3, 1, 4, 0, 5]);
    let size = |builder: &mut Builder| if builder.bytes.one_in(2) { -1 } else { builder.bytes.pick(&SIZES) };
    let mut shape: Vec<i64> = (0..rank).map(|_| size(builder)).collect();
    // The channels of an image are fixed, because the weights of a convolution depend on them.
    if rank > 2 {
        shape[1] = builder.bytes.pick(&SIZES);
    }
    let element = if builder.bytes.one_in(12) { I64 } else { F32 };
    Value { name: builder.name(), element, shape }
}

/// Inputs for a run, by further bytes.
pub(super) fn inputs(signature: &Signature, bytes: &mut Bytes) -> NamedTensors {
    signature.inputs.iter().map(|spec| (spec.name.clone(), tensor(spec, bytes))).collect()
}

fn tensor(spec: &TensorSpec, bytes: &mut Bytes) -> Tensor {
    // Most runs are ordinary: small sizes, of which the table has the first ones.
    let sizes = if bytes.one_in(3) { &VARYING[..] } else { &VARYING[..9] };
    let size = |size: &i64| u64::try_from(*size).unwrap_or_else(|_| bytes.pick(sizes));
    let mut shape: Vec<u64> = spec.shape.iter().map(size).collect();
    while !shape.contains(&0) && elements(&shape) > ELEMENTS {
        // The largest size that may vary becomes smaller.
        let largest = (0..shape.len()).filter(|at| spec.shape[*at] < 0).max_by_key(|at| shape[*at]);
        let Some(largest) = largest.filter(|at| shape[*at] > 1) else { break };
        shape[largest] = if shape[largest] > 1 << 30 { 0 } else { shape[largest] / 2 };
    }
    // Beyond this, a tensor is refused before it comes to a graph, empty or not.
    while shape.iter().filter(|size| **size > 0).fold(1u64, |all, size| all.saturating_mul(*size)) > 1 << 62 {
        shape.iter_mut().for_each(|size| *size = (*size).min(1 << 12));
    }
    let count = to_usize(if shape.contains(&0) { 0 } else { elements(&shape) });
    let scale = bytes.pick(&[0.01f32, 1.0, 1e30, f32::NAN, -1.0]);
    let data: Vec<u8> = match spec.datatype {
        Datatype::Fp32 => (0..97u8).cycle().take(count).flat_map(|at| (f32::from(at) * scale).to_le_bytes()).collect(),
        Datatype::Int64 => (0..7i64).cycle().take(count).flat_map(i64::to_le_bytes).collect(),
        datatype => vec![0; count * to_usize(datatype.width().unwrap_or(1))],
    };
    Tensor::new(spec.datatype, shape, data.into()).expect("the data was made for the shape")
}

fn elements(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |product: u64, size| product.saturating_mul(*size))
}
