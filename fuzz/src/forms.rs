//! Encodes a request with one tensor in each wire format: with the host's encoder if it has one, and otherwise with prost.
//! `None` if a format cannot represent the tensor.

use bulkhead::protocol::tfserving::rows::RequestLayout;
use bulkhead::tensor::{Datatype, NamedTensors, Tensor};
use bulkhead_messages::{InferInputTensor, InferTensorContents, ModelInferRequest, PredictRequest};
use half::{bf16, f16};
use prost::Message;

use crate::codecs;

/// Bound on a reply, larger than any reply of these targets.
const BOUND: u64 = 1 << 30;

/// A name with characters that must be escaped.
pub(crate) const NAME: &str = "in \"put\"";

/// A name that ends in `_bytes`, for which TensorFlow Serving encodes strings in base64.
pub(crate) const BYTES_NAME: &str = "input_bytes";

pub(crate) fn named(name: &str, tensor: &Tensor) -> NamedTensors {
    vec![(name.into(), tensor.clone())]
}

pub(crate) fn json(tensor: &Tensor) -> Option<Vec<u8>> {
    let encoded = codecs::encode_json(named(NAME, tensor), false, BOUND);
    assert_eq!(encoded.is_ok(), is_text(tensor), "bytes that are no text are the only tensors that JSON refuses");
    let request = rename(&encoded.ok()?.0, "\"outputs\":", "\"inputs\":");
    has_decimals(tensor).then_some(request)
}

/// The JSON, and the binary tensors after it.
pub(crate) fn binary(tensor: &Tensor) -> (Vec<u8>, Vec<u8>) {
    let (json, rest) = codecs::encode_json(named(NAME, tensor), true, BOUND).expect("bytes can always be sent");
    (rename(&json, "\"outputs\":", "\"inputs\":"), rest.concat())
}

pub(crate) fn grpc(tensor: &Tensor, contents: Option<InferTensorContents>) -> Vec<u8> {
    let raw = contents.is_none().then(|| tensor.data().clone());
    let input = InferInputTensor {
        name: NAME.into(),
        datatype: tensor.datatype().name().into(),
        shape: tensor.shape().iter().map(|size| size.cast_signed()).collect(),
        contents,
    };
    let raw_input_contents = raw.into_iter().collect();
    ModelInferRequest { model_name: "model".into(), id: String::new(), inputs: vec![input], raw_input_contents }
        .encode_to_vec()
}

/// The typed list that gRPC clients put the elements into; half-precision types have none.
pub(crate) fn contents(tensor: &Tensor) -> Option<InferTensorContents> {
    let data = tensor.data();
    let mut contents = InferTensorContents::default();
    match tensor.datatype() {
        Datatype::Bool => contents.bool_contents = data.iter().map(|byte| *byte != 0).collect(),
        Datatype::Int8 => contents.int_contents = list(data, |bytes| i8::from_le_bytes(bytes).into()),
        Datatype::Int16 => contents.int_contents = list(data, |bytes| i16::from_le_bytes(bytes).into()),
        Datatype::Int32 => contents.int_contents = list(data, i32::from_le_bytes),
        Datatype::Int64 => contents.int64_contents = list(data, i64::from_le_bytes),
        Datatype::Uint8 => contents.uint_contents = list(data, |bytes| u8::from_le_bytes(bytes).into()),
        Datatype::Uint16 => contents.uint_contents = list(data, |bytes| u16::from_le_bytes(bytes).into()),
        Datatype::Uint32 => contents.uint_contents = list(data, u32::from_le_bytes),
        Datatype::Uint64 => contents.uint64_contents = list(data, u64::from_le_bytes),
        Datatype::Fp32 => contents.fp32_contents = list(data, f32::from_le_bytes),
        Datatype::Fp64 => contents.fp64_contents = list(data, f64::from_le_bytes),
        Datatype::Bytes => contents.bytes_contents = tensor.byte_strings().map(<[u8]>::to_vec).collect(),
        Datatype::Fp16 | Datatype::Bf16 => return None,
    }
    has_booleans(tensor).then_some(contents)
}

pub(crate) fn predict_grpc(tensor: &Tensor) -> Option<Vec<u8>> {
    let inputs = [(NAME.to_owned(), codecs::encode_tensor_proto(tensor))].into();
    has_booleans(tensor).then(|| PredictRequest { inputs }.encode_to_vec())
}

/// The body of a `:predict` request. `None` for shapes that the nesting of JSON lists cannot represent, such as those with
/// a dimension of zero.
pub(crate) fn predict_rest(tensor: &Tensor, form: RequestLayout) -> Option<Vec<u8>> {
    let lost = tensor.shape().contains(&0) || form == RequestLayout::Rows && tensor.shape().is_empty();
    if lost || !has_decimals(tensor) {
        return None;
    }
    let outputs = named(tensorflow_name(tensor), tensor);
    let json = codecs::encode_predictions(&outputs, form, BOUND).expect("it is one tensor with a row");
    Some(match form {
        RequestLayout::Rows => rename(&json, "\"predictions\":", "\"instances\":"),
        RequestLayout::Columns => rename(&json, "\"outputs\":", "\"inputs\":"),
    })
}

pub(crate) fn tensorflow_name(tensor: &Tensor) -> &'static str {
    if is_text(tensor) { NAME } else { BYTES_NAME }
}

fn rename(reply: &[u8], field: &str, instead: &str) -> Vec<u8> {
    String::from_utf8_lossy(reply).replacen(field, instead, 1).into_bytes()
}

fn is_text(tensor: &Tensor) -> bool {
    tensor.datatype() != Datatype::Bytes || tensor.byte_strings().all(|text| std::str::from_utf8(text).is_ok())
}

/// False if a BOOL tensor contains bytes other than 0 and 1: binary input keeps such bytes, but JSON has only two
/// values.
fn has_booleans(tensor: &Tensor) -> bool {
    tensor.datatype() != Datatype::Bool || tensor.data().iter().all(|byte| *byte <= 1)
}

/// True if all numbers can be written as decimals, which excludes NaN and infinities.
fn has_decimals(tensor: &Tensor) -> bool {
    let data = tensor.data();
    match tensor.datatype() {
        Datatype::Fp16 => list(data, f16::from_le_bytes).into_iter().all(f16::is_finite),
        Datatype::Bf16 => list(data, bf16::from_le_bytes).into_iter().all(bf16::is_finite),
        Datatype::Fp32 => list(data, f32::from_le_bytes).into_iter().all(f32::is_finite),
        Datatype::Fp64 => list(data, f64::from_le_bytes).into_iter().all(f64::is_finite),
        _ => has_booleans(tensor),
    }
}

pub(crate) fn list<T, const WIDTH: usize>(data: &[u8], read: impl Fn([u8; WIDTH]) -> T) -> Vec<T> {
    data.as_chunks::<WIDTH>().0.iter().map(|bytes| read(*bytes)).collect()
}
