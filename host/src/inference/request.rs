//! Inference requests, independent of the protocol.

use crate::sandbox::Parameters;
use crate::tensor::NamedTensors;

/// An inference request, as any protocol decodes it.
#[derive(Debug, Default)]
pub struct InferRequest {
    pub id: Option<String>,
    pub parameters: Parameters,
    pub inputs: NamedTensors,
    /// The outputs that the client wants, in its order; all of them if it names none.
    pub outputs: Option<Vec<WantedOutput>>,
    /// True if outputs without a choice of their own are wanted as binary tensors. Only some protocols have the choice.
    pub binary_output: bool,
}

/// An output that the client asked for by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedOutput {
    pub name: String,
    /// True for a binary tensor, false for text; `None` leaves the choice to the request's `binary_output`.
    pub binary: Option<bool>,
    /// Number of the highest classes that are wanted as text, instead of the tensor.
    pub classification: Option<usize>,
}
