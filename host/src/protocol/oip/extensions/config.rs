//! `/v2/models/M/config`: a model's configuration, in the form that Triton's clients and load generators read.

use serde::Serialize;
use utoipa::ToSchema;

use crate::pipeline::Pipeline;
use crate::protocol::oip::model_config::{PLATFORM, data_type, dims, label_file, max_batch_size};
use crate::tensor::TensorSpec;

/// A model's configuration: the fields of Triton's `ModelConfig` that have a meaning for this server.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelConfig<'a> {
    name: &'a str,
    platform: &'static str,
    backend: &'static str,
    version_policy: VersionPolicy,
    /// Largest number of rows in a batch, for which the dimensions below are those of one row. 0 for a model without a
    /// batch, where they are those of the whole tensor.
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
    /// True if a request may have more than one response.
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
    label_filename: &'a str,
    is_shape_tensor: bool,
}

impl<'a> ModelConfig<'a> {
    /// The configuration for a tenant whose requests may have `request_bytes` bytes.
    pub(crate) fn of(pipeline: &'a Pipeline, request_bytes: u64) -> ModelConfig<'a> {
        let max_batch_size = max_batch_size(&pipeline.signature, request_bytes);
        ModelConfig {
            name: &pipeline.model,
            platform: PLATFORM,
            backend: "bulkhead",
            version_policy: VersionPolicy { all: AllVersions {} },
            max_batch_size,
            input: pipeline.signature.inputs.iter().map(|spec| input(spec, max_batch_size)).collect(),
            output: pipeline.signature.outputs.iter().map(|spec| output(pipeline, spec, max_batch_size)).collect(),
            model_transaction_policy: TransactionPolicy { decoupled: pipeline.streams() },
        }
    }
}

fn input(spec: &TensorSpec, max_batch_size: u32) -> ModelInput<'_> {
    ModelInput {
        name: &spec.name,
        data_type: data_type(spec.datatype).as_str_name(),
        format: "FORMAT_NONE",
        dims: dims(spec, max_batch_size),
        is_shape_tensor: false,
        allow_ragged_batch: false,
        optional: false,
    }
}

fn output<'a>(pipeline: &'a Pipeline, spec: &'a TensorSpec, max_batch_size: u32) -> ModelOutput<'a> {
    ModelOutput {
        name: &spec.name,
        data_type: data_type(spec.datatype).as_str_name(),
        dims: dims(spec, max_batch_size),
        label_filename: label_file(pipeline, spec),
        is_shape_tensor: false,
    }
}
