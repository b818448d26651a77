//! Round trips: a tensor is the same in every wire format.

use std::fmt::Display;

use bulkhead::protocol::tfserving::rows::RequestLayout;
use bulkhead::tensor::{NamedTensors, Tensor, TensorSpec};

use crate::codecs;
use crate::forms::{self, NAME};

/// Encodes a tensor in every format that can represent it, and decodes it again.
pub(crate) fn check(tensor: &Tensor) {
    if let Some(json) = forms::json(tensor) {
        same("JSON", NAME, tensor, codecs::json(&json, Default::default()));
    }
    let (json, rest) = forms::binary(tensor);
    same("binary", NAME, tensor, codecs::json(&json, rest.into()));
    same("raw gRPC", NAME, tensor, codecs::grpc(forms::grpc(tensor, None).into()));
    if let Some(contents) = forms::contents(tensor) {
        same("gRPC", NAME, tensor, codecs::grpc(forms::grpc(tensor, Some(contents)).into()));
    }
    if let Some(message) = forms::predict_grpc(tensor) {
        let bound = message.len() as u64 + tensor.data().len() as u64;
        same("TensorFlow's gRPC", NAME, tensor, codecs::predict_grpc(message.into(), bound));
    }
    for form in [RequestLayout::Rows, RequestLayout::Columns] {
        let Some(json) = forms::predict_rest(tensor, form) else { continue };
        let name = forms::tensorflow_name(tensor);
        let spec = TensorSpec { name: name.into(), datatype: tensor.datatype(), shape: vec![-1; tensor.shape().len()] };
        let decoded = codecs::predict_rest(&json, &[spec], json.len() as u64);
        let tensors = decoded.map(|(tensors, told)| {
            assert_eq!(told, form);
            tensors
        });
        same("TensorFlow's JSON", name, tensor, tensors);
    }
}

fn same<E: Display>(form: &str, name: &str, tensor: &Tensor, decoded: Result<NamedTensors, E>) {
    let decoded = decoded.map_err(|error| error.to_string());
    assert_eq!(decoded, Ok(forms::named(name, tensor)), "as {form}");
}
