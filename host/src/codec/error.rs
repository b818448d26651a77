//! The errors of the codecs: bytes that are not a valid request, and tensors that cannot be sent. A client reads their
//! texts.

use crate::codec::json_mistake::in_plain_words;
use crate::codec::protobuf::fields::Malformed;
use crate::tensor::TensorError;

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> DecodeError {
        DecodeError::Message(malformed.to_string())
    }
}

/// Outputs that cannot be sent in the reply.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("the reply has more than {bound} (reply-bytes of the tenant); ask for fewer outputs, or send less at once", bound = crate::config::format_bytes(*.bound))]
    TooLarge { bound: u64 },
    #[error("output \"{output}\" holds bytes that are not UTF-8, and JSON can only carry text; {instead}")]
    NotText { output: String, instead: &'static str },
    #[error("{why}")]
    Form { why: String },
    #[error("{0}")]
    Json(serde_json::Error),
}

/// A body that is not a valid request. Each text says where in the body the mistake is.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not JSON of an inference request: {problem}, at byte {byte}")]
    Json { problem: String, byte: usize },
    #[error("the message is not an inference request: {0}")]
    Message(String),
    /// A text in the words of TensorFlow Serving, which its clients know.
    #[error("{0}")]
    Tensorflow(String),
    #[error("unknown datatype \"{datatype}\" for input \"{input}\"; the datatypes are: {known}")]
    Datatype { input: String, datatype: String, known: String },
    #[error("input \"{input}\" has a dimension of {dimension}; sizes are 0 or more")]
    Dimension { input: String, dimension: i64 },
    #[error("input \"{input}\" has no \"data\"")]
    NoData { input: String },
    #[error("input \"{input}\": data: {problem}")]
    Data { input: String, problem: String },
    #[error("input \"{input}\" {error}")]
    Tensor { input: String, error: TensorError },
    #[error(
        "the body is not JSON, and only a model whose only input is BYTES takes any body as that input; this model's inputs are: {inputs}. Send JSON with content-type application/json, or the bytes of a single tensor with Inference-Header-Content-Length: 0"
    )]
    NotBytes { inputs: String },
    #[error(
        "the body is given as the bytes of the model's only input, which must leave at most one dimension open, and this model's inputs are: {inputs}. Send JSON before the tensors, and its length as Inference-Header-Content-Length"
    )]
    NotRaw { inputs: String },
    #[error(
        "the body has {bytes} bytes, which is not a whole number of rows of the model's only input: {input} ({row} bytes each)"
    )]
    RawRows { bytes: usize, input: String, row: u64 },
    #[error(
        "Inference-Header-Content-Length is \"{value}\"; send it once, with the length of the body's JSON in bytes"
    )]
    Header { value: String },
    #[error("Inference-Header-Content-Length is {length}, and the body has {body} bytes")]
    HeaderTooLong { length: usize, body: usize },
    #[error(
        "input \"{input}\" has a binary_data_size of {size}, and {left} bytes of the body are left for it after the JSON (whose length is in Inference-Header-Content-Length) and the tensors before it"
    )]
    BinaryShort { input: String, size: u64, left: usize },
    #[error(
        "the JSON of the body ends at byte {byte}, and binary tensors follow it; send the header Inference-Header-Content-Length: {byte}"
    )]
    NoHeader { byte: usize },
    #[error("the body has {left} bytes after its JSON and the binary tensors that the JSON announces")]
    BinaryLeft { left: usize },
    #[error("input \"{input}\" has both \"data\" and a binary_data_size")]
    TwiceData { input: String },
    #[error("\"{tensor}\" is asked for in shared memory, which this host does not have: send and fetch it in the body")]
    SharedMemory { tensor: String },
    /// `what` is an input or a parameter, and `places` says where it is.
    #[error("{what} \"{name}\" is given twice: {places}")]
    TwiceGiven { what: &'static str, name: String, places: &'static str },
    #[error("field \"{field}\": {}", in_plain_words(.error))]
    Field { field: String, error: serde_json::Error },
    #[error("{count} elements do not fit the shape of the input {input}")]
    NoShape { input: String, count: u64 },
    #[error("parameter \"binary_data_output\" must be true or false")]
    BinaryOutput,
}
