//! The wire types of TensorFlow Serving's REST API: model status and metadata, and the schemas of inference requests and
//! replies.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::signature::{self, SIGNATURE, number};
use super::status::VersionStatus;
use crate::pipeline::Pipeline;
use crate::protocol::pb::tensorflow as tf;

/// The status of a model, with the fields of TensorFlow Serving and those of KServe's first protocol, which has the same
/// address for its readiness.
#[derive(Serialize, ToSchema)]
pub struct VersionStatuses {
    /// The versions, newest first.
    model_version_status: Vec<VersionState>,
    name: String,
    /// True if any of the versions is served.
    ready: bool,
}

/// The models that are served, as KServe's first protocol lists them.
#[derive(Serialize, ToSchema)]
pub struct ModelNames {
    pub models: BTreeSet<String>,
}

#[derive(Serialize, ToSchema)]
struct VersionState {
    version: String,
    /// `AVAILABLE` if the version is served, else `END`.
    state: &'static str,
    status: StateReason,
}

#[derive(Serialize, ToSchema)]
struct StateReason {
    error_code: &'static str,
    error_message: String,
}

impl From<VersionStatus> for VersionState {
    fn from(version: VersionStatus) -> VersionState {
        let (state, error_code) = match version.failed {
            None => ("AVAILABLE", "OK"),
            Some(_) => ("END", "FAILED_PRECONDITION"),
        };
        let error_message = version.failed.as_deref().unwrap_or_default().to_owned();
        VersionState { version: version.version.to_string(), state, status: StateReason { error_code, error_message } }
    }
}

impl VersionStatuses {
    pub fn of(model: &str, versions: Vec<VersionStatus>) -> VersionStatuses {
        let ready = versions.iter().any(|version| version.failed.is_none());
        let model_version_status = versions.into_iter().map(Into::into).collect();
        VersionStatuses { model_version_status, name: model.to_owned(), ready }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelSignatures)]
pub struct MetadataReply<'a> {
    model_spec: ModelSpec<'a>,
    metadata: Metadata,
}

#[derive(Serialize, ToSchema)]
struct ModelSpec<'a> {
    name: &'a str,
    signature_name: &'static str,
    version: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SignatureMetadata)]
struct Metadata {
    signature_def: SignatureMap,
}

#[derive(Serialize, ToSchema)]
struct SignatureMap {
    signature_def: BTreeMap<&'static str, SignatureInfo>,
}

#[derive(Serialize, ToSchema)]
struct SignatureInfo {
    inputs: BTreeMap<String, TensorInfo>,
    outputs: BTreeMap<String, TensorInfo>,
    method_name: String,
}

#[derive(Serialize, ToSchema)]
struct TensorInfo {
    /// The datatype, such as `DT_FLOAT`.
    dtype: &'static str,
    name: String,
    tensor_shape: TensorShape,
}

#[derive(Serialize, ToSchema)]
struct TensorShape {
    dim: Vec<Dimension>,
    unknown_rank: bool,
}

#[derive(Serialize, ToSchema)]
struct Dimension {
    /// The size; `-1` if it varies.
    size: String,
    name: String,
}

impl<'a> MetadataReply<'a> {
    pub fn of(pipeline: &'a Pipeline) -> MetadataReply<'a> {
        let signature = signature::of(pipeline);
        let tensors = |tensors: std::collections::HashMap<String, tf::TensorInfo>| {
            tensors.into_iter().map(|(name, info)| (name, info.into())).collect()
        };
        let info = SignatureInfo {
            inputs: tensors(signature.inputs),
            outputs: tensors(signature.outputs),
            method_name: signature.method_name,
        };
        MetadataReply {
            model_spec: ModelSpec {
                name: &pipeline.model,
                signature_name: "",
                version: number(&pipeline.version).to_string(),
            },
            metadata: Metadata { signature_def: SignatureMap { signature_def: BTreeMap::from([(SIGNATURE, info)]) } },
        }
    }
}

impl From<tf::TensorInfo> for TensorInfo {
    fn from(info: tf::TensorInfo) -> TensorInfo {
        let dtype = info.dtype().as_str_name();
        let sizes = info.tensor_shape.unwrap_or_default().dim.into_iter();
        let dim = sizes.map(|dim| Dimension { size: dim.size.to_string(), name: dim.name }).collect();
        TensorInfo { dtype, name: info.name, tensor_shape: TensorShape { dim, unknown_rank: false } }
    }
}

/// A request with either `instances` or `inputs`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
pub struct PredictRequest {
    /// The signature to run. Every model has one, which is called `serving_default`.
    signature_name: Option<String>,
    /// Rows: values of the only input, or objects with a value for each input. `{"b64": …}` stands for bytes.
    instances: Option<Vec<Value>>,
    /// Columns: the only input, or an object with each input.
    inputs: Option<Value>,
    /// Parameters for the plugins: booleans, numbers or strings.
    parameters: Option<BTreeMap<String, Value>>,
}

/// A reply with `predictions` for rows, or `outputs` for columns.
#[derive(ToSchema)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
pub struct PredictReply {
    predictions: Option<Vec<Value>>,
    outputs: Option<Value>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
pub struct Examples {
    signature_name: Option<String>,
    /// Features that all examples share.
    context: Option<BTreeMap<String, Value>>,
    /// The features of each example.
    #[schema(min_items = 1)]
    examples: Vec<BTreeMap<String, Value>>,
    /// Parameters for the plugins: booleans, numbers or strings.
    parameters: Option<BTreeMap<String, Value>>,
}

/// The label and the score of each class, for each example.
#[derive(ToSchema)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
pub struct Classified {
    results: Vec<Vec<Vec<Value>>>,
}

/// The value of each example. NaN and infinities are written as words, which are not valid JSON.
#[derive(ToSchema)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
pub struct Regressed {
    results: Vec<Value>,
}
