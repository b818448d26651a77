//! An inference request, of any protocol.

use crate::sandbox::Parameters;
use crate::tensor::NamedTensors;

/// An inference request, whatever it came as.
#[derive(Debug, Default)]
pub struct InferRequest {
    pub id: Option<String>,
    pub parameters: Parameters,
    pub inputs: NamedTensors,
    /// The outputs that the client wants, in its order; all of them where it named none.
    pub outputs: Option<Vec<WantedOutput>>,
    /// Whether an output that says nothing itself is wanted as bytes. Only some protocols have the choice.
    pub binary_output: bool,
}

/// An output that the client asked for by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedOutput {
    pub name: String,
    /// As bytes or as text; what the request says for all of them where this says nothing.
    pub binary: Option<bool>,
    /// So many of the best classes, as text, instead of the tensor.
    pub classification: Option<usize>,
}
