//! The parameters of requests.

use std::fmt;

use serde::Deserialize;
use serde::de::Visitor;

use crate::codec::error::DecodeError;
use crate::sandbox::{ParameterValue, Parameters};

/// Removes `binary_data_output` from the parameters, because it is for the host and not for plugins. True if all outputs
/// are requested as bytes, unless an output says otherwise.
pub(crate) fn take_binary_output(parameters: &mut Parameters) -> Result<bool, DecodeError> {
    let Some(at) = parameters.iter().position(|(name, _)| name == "binary_data_output") else { return Ok(false) };
    match parameters.swap_remove(at).1 {
        ParameterValue::Boolean(binary) => Ok(binary),
        _ => Err(DecodeError::BinaryOutput),
    }
}

/// The value of a parameter: a boolean, a number or a string. A list or an object is an error as soon as it begins.
pub struct Scalar(pub ParameterValue);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a boolean, a number or a text as a parameter")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(ParameterValue::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(ParameterValue::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        let integer = i64::try_from(value).map(ParameterValue::Integer);
        Ok(Scalar(integer.unwrap_or(ParameterValue::Number(value as f64))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(ParameterValue::Number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar(ParameterValue::Text(value.to_owned())))
    }
}
