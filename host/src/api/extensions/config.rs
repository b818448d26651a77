//! `/v2/models/M/config`: a model's configuration, as Triton's clients and load generators read it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::grpc::data_type;
use crate::pipeline::Pipeline;
use crate::tensor::TensorSpec;

/// Of the fields of Triton's `ModelConfig`, those that have a meaning here. No batch size: the host knows no batch, and a
/// model's dimensions are whole.
#[derive(Serialize, ToSchema)]
pub struct ModelConfig<'a> {
    name: &'a str,
    platform: &'static str,
    backend: &'static str,
    version_policy: VersionPolicy,
    max_batch_size: u32,
    input: Vec<ModelInput<'a>>,
    output: Vec<ModelOutput<'a>>,
    model_transaction_policy: TransactionPolicy,
}

/// Every version that was activated is served.
#[derive(Serialize, ToSchema)]
struct VersionPolicy {
    all: AllVersions,
}

#[derive(Serialize, ToSchema)]
struct AllVersions {}

#[derive(Serialize, ToSchema)]
struct TransactionPolicy {
    /// Whether a request may have more than one answer.
    decoupled: bool,
}

#[derive(Serialize, ToSchema)]
struct ModelInput<'a> {
    name: &'a str,
    data_type: &'static str,
    format: &'static str,
    dims: &'a [i64],
    is_shape_tensor: bool,
    allow_ragged_batch: bool,
    optional: bool,
}

#[derive(Serialize, ToSchema)]
struct ModelOutput<'a> {
    name: &'a str,
    data_type: &'static str,
    dims: &'a [i64],
    label_filename: &'static str,
    is_shape_tensor: bool,
}

pub(in crate::api) const PLATFORM: &str = "bulkhead_pipeline";

impl<'a> ModelConfig<'a> {
    pub fn of(pipeline: &'a Pipeline) -> ModelConfig<'a> {
        ModelConfig {
            name: &pipeline.model,
            platform: PLATFORM,
            backend: "bulkhead",
            version_policy: VersionPolicy { all: AllVersions {} },
            max_batch_size: 0,
            input: pipeline.signature.inputs.iter().map(input).collect(),
            output: pipeline.signature.outputs.iter().map(output).collect(),
            model_transaction_policy: TransactionPolicy { decoupled: pipeline.streams() },
        }
    }
}

fn input(spec: &TensorSpec) -> ModelInput<'_> {
    ModelInput {
        name: &spec.name,
        data_type: data_type(spec.datatype).as_str_name(),
        format: "FORMAT_NONE",
        dims: &spec.shape,
        is_shape_tensor: false,
        allow_ragged_batch: false,
        optional: false,
    }
}

fn output(spec: &TensorSpec) -> ModelOutput<'_> {
    ModelOutput {
        name: &spec.name,
        data_type: data_type(spec.datatype).as_str_name(),
        dims: &spec.shape,
        label_filename: "",
        is_shape_tensor: false,
    }
}
