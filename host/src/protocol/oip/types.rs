//! The wire types of the protocol's REST API: metadata and health of the server and of models, and inference replies.

use serde::Serialize;
use utoipa::ToSchema;

use crate::tensor::TensorSpec;

#[derive(Serialize, ToSchema)]
pub struct ServerMetadata {
    pub name: &'static str,
    pub version: &'static str,
    /// The extensions of the protocol that the server has.
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
    /// The versions that are ready, oldest first.
    pub versions: Vec<String>,
    pub platform: &'static str,
    pub inputs: Vec<TensorMetadata<'a>>,
    pub outputs: Vec<TensorMetadata<'a>>,
    /// The stages of the model's pipeline, in order.
    pub stages: Vec<StageMetadata<'a>>,
}

#[derive(Serialize, ToSchema)]
pub struct TensorMetadata<'a> {
    pub name: &'a str,
    pub datatype: &'static str,
    /// The size of each dimension; -1 if it varies.
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

/// The reply to an inference request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
pub struct InferReply {
    model_name: String,
    model_version: String,
    id: Option<String>,
    outputs: Vec<OutputTensor>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
struct OutputTensor {
    name: String,
    datatype: String,
    shape: Vec<u64>,
    /// `binary_data_size`, if the data follows the JSON as bytes.
    parameters: Option<std::collections::BTreeMap<String, u64>>,
    /// The elements as a flat list; null stands for NaN and for infinities.
    data: Option<Vec<serde_json::Value>>,
}
