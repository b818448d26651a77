//! A model's configuration over gRPC, which Triton's clients request before they send anything else.

use crate::pipeline::Pipeline;
use crate::protocol::oip::extensions::config::{PLATFORM, dims, label_file, max_batch_size};
use crate::protocol::pb::inference as pb;
use crate::tensor::Datatype;

/// The configuration for a tenant whose requests may have `request_bytes` bytes.
pub fn of(pipeline: &Pipeline, request_bytes: u64) -> pb::ModelConfig {
    let max_batch_size = max_batch_size(&pipeline.signature, request_bytes);
    let input = |spec: &crate::tensor::TensorSpec| pb::ModelInput {
        name: spec.name.to_string(),
        data_type: data_type(spec.datatype).into(),
        dims: dims(spec, max_batch_size).to_vec(),
    };
    let output = |spec: &crate::tensor::TensorSpec| pb::ModelOutput {
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
        max_batch_size: max_batch_size as i32,
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

/// Triton's name of a datatype.
pub fn data_type(datatype: Datatype) -> pb::DataType {
    match datatype {
        Datatype::Bool => pb::DataType::TypeBool,
        Datatype::Uint8 => pb::DataType::TypeUint8,
        Datatype::Uint16 => pb::DataType::TypeUint16,
        Datatype::Uint32 => pb::DataType::TypeUint32,
        Datatype::Uint64 => pb::DataType::TypeUint64,
        Datatype::Int8 => pb::DataType::TypeInt8,
        Datatype::Int16 => pb::DataType::TypeInt16,
        Datatype::Int32 => pb::DataType::TypeInt32,
        Datatype::Int64 => pb::DataType::TypeInt64,
        Datatype::Fp16 => pb::DataType::TypeFp16,
        Datatype::Bf16 => pb::DataType::TypeBf16,
        Datatype::Fp32 => pb::DataType::TypeFp32,
        Datatype::Fp64 => pb::DataType::TypeFp64,
        Datatype::Bytes => pb::DataType::TypeString,
    }
}
