//! Responses of models, for any protocol to encode.

use crate::tensor::NamedTensors;

/// The response of a pipeline, for a protocol to encode.
pub struct InferResponse {
    /// Identifier that the client gave to its request.
    pub id: Option<String>,
    /// The outputs that the client wants, in its order.
    pub outputs: NamedTensors,
    /// True for each output that is wanted as a binary tensor.
    pub binary: Vec<bool>,
    /// Upper bound on the encoded reply, in bytes; for a stream, what the responses before have left of it.
    pub bound: u64,
}
