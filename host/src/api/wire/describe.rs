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
