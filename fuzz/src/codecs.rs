//! The wire decoders as functions from bytes to named tensors, and the encoders that they must agree with. Requests use the
//! same code with a model, a caller and a budget; these functions need none of them. Only `fuzz/` uses this module.

use bulkhead::codec::error::{DecodeError, EncodeError};
use bulkhead::codec::json::{elements, parallel_read};
use bulkhead::codec::parameters;
use bulkhead::inference::{InferRequest, InferResponse};
use bulkhead::protocol::oip::grpc::decode::ModelInferParts;
use bulkhead::protocol::oip::json;
use bulkhead::protocol::tfserving::{self, encode, examples, proto, rows};
use bulkhead::scheduler::CallContext;
use bulkhead::tensor::{Datatype, NamedTensors, Signature, Tensor, TensorSpec};
use bytes::Bytes;
use prost::Message;

pub(crate) use bulkhead::codec::json::elements::Parsed;
pub(crate) use bulkhead::protocol::oip::json::Raw;
pub(crate) use bulkhead::protocol::tfserving::rows::RequestLayout;

type Decoded = Result<NamedTensors, DecodeError>;

fn inputs(request: InferRequest) -> NamedTensors {
    request.inputs
}

/// Decodes a JSON request; `rest` holds the bytes after the JSON.
pub(crate) fn json(json: &[u8], rest: Bytes) -> Decoded {
    json::decode_json(&CallContext::without_cores(), &Bytes::copy_from_slice(json), rest).map(inputs)
}

/// The elements of an array, read sequentially, and in parts of about `part` bytes if the array can be split.
pub(crate) fn elements(datatype: Datatype, json: &Bytes, part: usize) -> (Result<Parsed, String>, Option<Parsed>) {
    let whole = elements::parse(datatype, None, json);
    // For an invalid array the number of elements is estimated from its commas.
    let count = whole.as_ref().map_or(json.split(|byte| *byte == b',').count() as u64, |parsed| parsed.count);
    (whole, parallel_read::parse(&CallContext::without_cores(), datatype, count, json, json, part))
}

pub(crate) fn raw(raw: Raw, body: &Bytes, query: &str, signature: &Signature) -> Decoded {
    parameters::in_query(query)?;
    json::decode_raw(raw, body, signature).map(inputs)
}

pub(crate) fn generate(json: &[u8], signature: &Signature) -> Decoded {
    json::decode_generate(json, signature).map(inputs)
}

/// Decodes a `ModelInferRequest`.
pub(crate) fn grpc(message: Bytes) -> Decoded {
    ModelInferParts::open(message)?.decode().map(inputs)
}

/// Decodes a `PredictRequest` of TensorFlow Serving; `bound` limits the bytes of its tensors.
pub(crate) fn predict_grpc(message: Bytes, bound: u64) -> Decoded {
    tfserving::PredictParts::open(message)?.decode(bound).map(inputs)
}

/// Decodes a body of `:predict`, and returns the layout of its reply too.
pub(crate) fn predict_rest(
    json: &[u8],
    specs: &[TensorSpec],
    bound: u64,
) -> Result<(NamedTensors, RequestLayout), DecodeError> {
    rows::decode(json, specs, bound).map(|(request, form)| (inputs(request), form))
}

/// Decodes a body of `:classify` or `:regress`.
pub(crate) fn examples_rest(json: &[u8], specs: &[TensorSpec], bound: u64) -> Decoded {
    examples::decode(json, specs, "", bound).map(inputs)
}

/// Encodes a reply of the Open Inference Protocol: its JSON, and the bytes after it if `binary` is set.
pub(crate) fn encode_json(
    outputs: NamedTensors,
    binary: bool,
    bound: u64,
) -> Result<(Vec<u8>, Vec<Bytes>), EncodeError> {
    let answer = InferResponse { id: None, binary: vec![binary; outputs.len()], outputs, bound };
    let context = CallContext::without_cores();
    json::encode_as(&context, "model", "1.0.0", &answer, bound).map(|encoded| (encoded.json.concat(), encoded.tensors))
}

/// Encodes a reply of `:predict`.
pub(crate) fn encode_predictions(
    outputs: &NamedTensors,
    form: RequestLayout,
    bound: u64,
) -> Result<Vec<u8>, EncodeError> {
    encode::predictions(outputs, form, bound).map(|pieces| pieces.concat())
}

/// Encodes a tensor as a `TensorProto`.
pub(crate) fn encode_tensor_proto(tensor: &Tensor) -> Vec<u8> {
    proto::encode(tensor).encode_to_vec()
}
