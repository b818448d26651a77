//! A plugin that tries the rules of tensors through the SDK, right uses and wrong ones, and answers with what it was told.
//! The same code runs natively and in a host, and the answers must be the same.

use std::fmt::Debug;

use bulkhead_guest::prelude::*;
use bulkhead_guest::{TensorBuilder, TensorError};

pub struct TensorCases;

impl Plugin for TensorCases {
    type Config = NoConfig;

    fn init(_: NoConfig) -> Result<Self, InitError> {
        Ok(TensorCases)
    }

    fn signature(&self) -> Signature {
        Signature::new().input("x", Datatype::Fp32, [-1]).output("outcomes", Datatype::Bytes, [-1])
    }

    fn process(&self, _: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        let outcomes = outcomes();
        Ok(Outputs::new().with("outcomes", Tensor::bytes(&[outcomes.len() as u64], &outcomes)?))
    }
}

bulkhead_guest::plugin!(TensorCases);

/// The outcome of every case: a tensor's description, the value that was read, or the text of the error.
pub fn outcomes() -> Vec<String> {
    let mut outcomes = Vec::new();
    creation(&mut outcomes);
    strings(&mut outcomes);
    reading(&mut outcomes);
    building(&mut outcomes);
    outcomes
}

fn note<T: Debug>(outcomes: &mut Vec<String>, case: &str, outcome: Result<T, TensorError>) {
    outcomes.push(match outcome {
        Ok(value) => format!("{case}: {value:?}"),
        Err(error) => format!("{case}: error: {error}"),
    });
}

/// Shapes of six elements, and of others.
const SHAPES: [&[u64]; 15] = [
    &[6],
    &[2, 3],
    &[1, 6, 1],
    &[],
    &[0],
    &[5],
    &[7],
    &[0, 7],
    &[u64::MAX],
    &[u64::MAX, 0],
    &[u64::MAX, 2],
    &[1 << 63],
    &[1 << 62, 0, 4],
    &[1; 32],
    &[1; 33],
];

fn creation(outcomes: &mut Vec<String>) {
    for shape in SHAPES {
        note(outcomes, "six floats", Tensor::new(shape, &[1.0f32; 6]));
        note(outcomes, "no doubles", Tensor::new::<f64>(shape, &[]));
        note(outcomes, "six booleans", Tensor::bools(shape, &[true; 6]));
        note(outcomes, "one short", Tensor::new(shape, &[7i16]));
        let reshaped = Tensor::new(&[2, 3], &[0u8; 6]).and_then(|tensor| tensor.reshape(shape));
        note(outcomes, "reshape of six bytes", reshaped);
    }
}

fn strings(outcomes: &mut Vec<String>) {
    for shape in SHAPES {
        note(outcomes, "six strings", Tensor::bytes(shape, &["a", "", "bc", "d", "e", "f"]));
        note(outcomes, "no strings", Tensor::bytes::<&str>(shape, &[]));
    }
    for values in [&["hi"][..], &[], &["hi", ""]] {
        let tensor = || Tensor::bytes(&[values.len() as u64], values);
        note(outcomes, "all strings", tensor().and_then(|tensor| tensor.byte_strings()));
        note(outcomes, "the only string", tensor().and_then(|tensor| tensor.byte_string()));
        note(outcomes, "ranges of strings", tensor().and_then(|tensor| tensor.byte_string_ranges()));
        note(outcomes, "strings as numbers", tensor().and_then(|tensor| tensor.view::<u8>().map(|view| view.to_vec())));
    }
}

fn reading(outcomes: &mut Vec<String>) {
    let tensor = || Tensor::new(&[4], &[1u16, 2, 3, 4]);
    for range in [0..8, 3..5, 8..8, 7..9, 9..9, 8..u64::MAX, u64::MAX - 1..u64::MAX] {
        note(outcomes, "raw bytes", tensor().and_then(|tensor| tensor.raw(range.clone())));
        let elements = |tensor: Tensor| tensor.elements::<u16>(range.clone()).map(|view| view.to_vec());
        note(outcomes, "elements", tensor().and_then(elements));
    }
    note(outcomes, "another type", tensor().and_then(|tensor| tensor.view::<f32>().map(|view| view.to_vec())));
    note(outcomes, "numbers as strings", tensor().and_then(|tensor| tensor.byte_strings()));
}

fn building(outcomes: &mut Vec<String>) {
    // Larger shapes would meet the memory limit of the call, which is a rule of the host alone.
    let elements = |shape: &[u64]| shape.iter().fold(1, |product: u64, dimension| product.saturating_mul(*dimension));
    for shape in SHAPES.into_iter().filter(|shape| elements(shape) < 10) {
        for pieces in [&[][..], &[6], &[1, 5], &[4, 4], &[7]] {
            note(outcomes, "built in pieces", build(shape, pieces));
        }
    }
    for shape in [&[1; 33][..], &[u64::MAX], &[1 << 62, 0, 4], &[1 << 62]] {
        note(outcomes, "too large to build", TensorBuilder::<f64>::new(shape).map(drop));
    }
}

fn build(shape: &[u64], pieces: &[usize]) -> Result<Tensor, TensorError> {
    let mut builder = TensorBuilder::<i32>::new(shape)?;
    for piece in pieces {
        builder.extend(&vec![1; *piece])?;
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_refused_with_the_texts_of_the_rules() {
        let outcomes = outcomes();
        for wanted in [
            "six floats: Fp32[2, 3]",
            "six floats: error: the tensor has 24 bytes of data, and FP32 of shape [5] needs 20 (5 elements of 4)",
            "no doubles: error: the tensor has 33 dimensions; at most 32 are allowed",
            "reshape of six bytes: error: the tensor cannot be reshaped: [7] has 7 elements, and the tensor has 6",
            "no strings: error: the tensor of datatype BYTES and shape [6] needs 6 elements, and its data holds 0",
            "strings as numbers: error: the tensor has datatype BYTES, and UINT8 is wanted",
            "raw bytes: error: the tensor has 8 bytes, and the range of 2 bytes from offset 7 ends beyond them",
            "built in pieces: error: the tensor takes 8 more bytes, and 16 were appended",
        ] {
            assert!(outcomes.iter().any(|outcome| outcome == wanted), "{wanted} is not in {outcomes:#?}");
        }
    }
}
