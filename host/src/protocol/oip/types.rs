//! What the host says of itself and of its models.

use serde::Serialize;
use utoipa::ToSchema;

use crate::tensor::TensorSpec;

#[derive(Serialize, ToSchema)]
pub struct ServerMetadata {
    pub name: &'static str,
    pub version: &'static str,
    /// Extensions of the protocol that are served.
    pub extensions: &'static [&'static str],
}

#[derive(Serialize, ToSchema)]
pub struct ServerLive {
    pub live: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ServerReady {
    pub ready: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ModelReady<'a> {
    pub name: &'a str,
    pub ready: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ModelMetadata<'a> {
    pub name: &'a str,
    /// Those that are ready, oldest first.
    pub versions: Vec<String>,
    pub platform: &'static str,
    pub inputs: Vec<TensorMetadata<'a>>,
    pub outputs: Vec<TensorMetadata<'a>>,
    /// What the model is made of, in order.
    pub stages: Vec<StageMetadata<'a>>,
}

#[derive(Serialize, ToSchema)]
pub struct TensorMetadata<'a> {
    pub name: &'a str,
    pub datatype: &'static str,
    /// -1 is a dimension that varies.
    pub shape: &'a [i64],
}

impl<'a> From<&'a TensorSpec> for TensorMetadata<'a> {
    fn from(spec: &'a TensorSpec) -> Self {
        TensorMetadata { name: &spec.name, datatype: spec.datatype.name(), shape: &spec.shape }
    }
}

#[derive(Serialize, ToSchema)]
pub struct StageMetadata<'a> {
    pub name: &'a str,
    /// `plugin` or `graph`.
    pub kind: &'static str,
}

/// The reply to an inference request, which `encode` writes without making one of these.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the document of the surface only")]
pub struct InferReply {
    model_name: String,
    model_version: String,
    id: Option<String>,
    outputs: Vec<OutputTensor>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the document of the surface only")]
struct OutputTensor {
    name: String,
    datatype: String,
    shape: Vec<u64>,
    /// `binary_data_size`, where the data follows the JSON.
    parameters: Option<std::collections::BTreeMap<String, u64>>,
    /// Flat; null is a number that is none.
    data: Option<Vec<serde_json::Value>>,
}
