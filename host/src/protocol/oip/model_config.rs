//! The values of a model's configuration, which clients can request over HTTP and over gRPC.

use crate::pipeline::Pipeline;
use crate::protocol::pb::inference as pb;
use crate::tensor::{Datatype, Signature, TensorSpec};

/// The platform of every model.
pub(crate) const PLATFORM: &str = "bulkhead_pipeline";

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

/// The dimensions of a tensor in the configuration: those of a row if there is a batch. [`max_batch_size`] is above 0 only
/// if every tensor has two dimensions or more.
pub(crate) fn dims(spec: &TensorSpec, max_batch_size: u32) -> &[i64] {
    if max_batch_size > 0 { &spec.shape[1..] } else { &spec.shape }
}

/// The name of the file with the labels of an output's classes; empty if they have none.
pub(crate) fn label_file<'a>(pipeline: &'a Pipeline, output: &TensorSpec) -> &'a str {
    pipeline.labels.get(&*output.name).map_or("", |labels| &labels.file)
}

/// Triton's name of a datatype.
pub(super) fn data_type(datatype: Datatype) -> pb::DataType {
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
