//! A model's configuration over gRPC, which Triton's clients request before they send anything else.

use crate::pipeline::Pipeline;
use crate::protocol::oip::model_config::{PLATFORM, data_type, dims, label_file, max_batch_size};
use crate::protocol::pb::inference as pb;
use crate::tensor::TensorSpec;

/// The configuration for a tenant whose requests may have `request_bytes` bytes.
pub fn of(pipeline: &Pipeline, request_bytes: u64) -> pb::ModelConfig {
    let max_batch_size = max_batch_size(&pipeline.signature, request_bytes);
    let input = |spec: &TensorSpec| pb::ModelInput {
        name: spec.name.to_string(),
        data_type: data_type(spec.datatype).into(),
        dims: dims(spec, max_batch_size).to_vec(),
    };
    let output = |spec: &TensorSpec| pb::ModelOutput {
        name: spec.name.to_string(),
        data_type: data_type(spec.datatype).into(),
        dims: dims(spec, max_batch_size).to_vec(),
        label_filename: label_file(pipeline, spec).into(),
    };
    let all = pb::model_version_policy::PolicyChoice::All(pb::model_version_policy::All {});
    pb::ModelConfig {
        name: pipeline.model.to_string(),
        platform: PLATFORM.into(),
        backend: "bulkhead".into(),
        version_policy: Some(pb::ModelVersionPolicy { policy_choice: Some(all) }),
        max_batch_size: i32::try_from(max_batch_size).unwrap_or(i32::MAX),
        input: pipeline.signature.inputs.iter().map(input).collect(),
        output: pipeline.signature.outputs.iter().map(output).collect(),
        instance_group: vec![pb::ModelInstanceGroup {
            name: pipeline.model.to_string(),
            count: 1,
            kind: pb::model_instance_group::Kind::Cpu.into(),
        }],
        model_transaction_policy: Some(pb::ModelTransactionPolicy { decoupled: pipeline.streams() }),
    }
}
