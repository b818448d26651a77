//! `/v2/models/M/config`: a model's configuration, in the form that Triton's clients and load generators read.

use serde::Serialize;
use utoipa::ToSchema;

use crate::pipeline::Pipeline;
use crate::protocol::oip::grpc::config::data_type;
use crate::tensor::{Signature, TensorSpec};

/// A model's configuration: the fields of Triton's `ModelConfig` that have a meaning for this server.
#[derive(Serialize, ToSchema)]
pub struct ModelConfig<'a> {
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

pub(crate) const PLATFORM: &str = "bulkhead_pipeline";

impl<'a> ModelConfig<'a> {
    /// The configuration for a tenant whose requests may have `request_bytes` bytes.
    pub fn of(pipeline: &'a Pipeline, request_bytes: u64) -> ModelConfig<'a> {
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

/// Number of rows that fit a request of `request_bytes` bytes, at least 1; 0 for a model without a batch. Load generators
/// and Triton's clients depend on it: they send rows only if it is not 0, and then take a model's dimensions for those of a
/// row.
pub(crate) fn max_batch_size(signature: &Signature, request_bytes: u64) -> u32 {
    if !signature.is_batched() {
        return 0;
    }
    let sizes = |spec: &TensorSpec| {
        let known = spec.shape.iter().filter_map(|size| u64::try_from(*size).ok());
        known.fold(spec.datatype.width().unwrap_or(BYTES_WIDTH), u64::saturating_mul)
    };
    let row = signature.inputs.iter().map(sizes).fold(0, u64::saturating_add);
    u32::try_from((request_bytes / row.max(1)).clamp(1, i32::MAX as u64)).unwrap_or(1)
}

/// Smallest size in bytes of an element of BYTES, which is its length.
const BYTES_WIDTH: u64 = 4;

/// The dimensions of a tensor in the configuration: those of a row if there is a batch.
pub(crate) fn dims(spec: &TensorSpec, max_batch_size: u32) -> &[i64] {
    if max_batch_size > 0 { &spec.shape[1..] } else { &spec.shape }
}

/// The name of the file with the labels of an output's classes; empty if they have none.
pub(crate) fn label_file<'a>(pipeline: &'a Pipeline, output: &TensorSpec) -> &'a str {
    pipeline.labels.get(&*output.name).map_or("", |labels| &labels.file)
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
