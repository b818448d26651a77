//! What a model answered, for any protocol to encode.

use crate::tensor::NamedTensors;

/// What a pipeline gave, for a protocol to encode.
pub struct InferResponse {
    /// As the client called its request.
    pub id: Option<String>,
    /// The outputs that the client wants, in its order.
    pub outputs: NamedTensors,
    /// For each of them, whether it is wanted as bytes.
    pub binary: Vec<bool>,
}
