//! TensorFlow's view of a model: its only signature, and the number of its version.

use std::collections::HashMap;

use super::proto;
use crate::codec::error::DecodeError;
use crate::pipeline::Pipeline;
use crate::protocol::pb::tensorflow as tf;
use crate::tensor::TensorSpec;

/// The name of the only signature that a model has.
pub(super) const SIGNATURE: &str = "serving_default";

/// The method name of that signature.
pub(super) const PREDICT: &str = "tensorflow/serving/predict";

/// Refuses the name of another signature, in TensorFlow Serving's words. `also` is the method name of the call, which
/// clients may send as the name of its signature.
pub(super) fn check_signature(name: &str, also: &str) -> Result<(), DecodeError> {
    if name.is_empty() || name == SIGNATURE || name == also {
        return Ok(());
    }
    Err(DecodeError::Tensorflow(format!("Serving signature name: \"{name}\" not found in signature def")))
}

/// The number by which TensorFlow Serving's clients know a bundle's version: its major number.
pub(super) fn number(version: &str) -> i64 {
    let major = semver::Version::parse(version).map(|version| version.major).unwrap_or_default();
    i64::try_from(major).unwrap_or(i64::MAX)
}

/// A model's inputs and outputs, as TensorFlow's signature.
pub(super) fn of(pipeline: &Pipeline) -> tf::SignatureDef {
    let tensors = |specs: &[TensorSpec]| -> HashMap<String, tf::TensorInfo> {
        let info = |spec: &TensorSpec| {
            let info = tf::TensorInfo {
                name: format!("{}:0", spec.name),
                dtype: proto::data_type(spec.datatype).into(),
                tensor_shape: Some(proto::shape(spec.shape.iter().copied())),
            };
            (spec.name.to_string(), info)
        };
        specs.iter().map(info).collect()
    };
    tf::SignatureDef {
        inputs: tensors(&pipeline.signature.inputs),
        outputs: tensors(&pipeline.signature.outputs),
        method_name: PREDICT.into(),
    }
}
