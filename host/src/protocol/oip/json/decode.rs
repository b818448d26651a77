//! The decoder of inference requests in JSON, with or without binary tensors behind it.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use serde::Deserialize;
use serde::de::Visitor;

use super::request::{Data, WireInput, WireOutput, WireRequest};
use crate::codec::error::DecodeError;
use crate::codec::json::{elements, parallel_read};
use crate::codec::tensor_head::tensor_head;
use crate::inference::InferRequest;
use crate::sandbox::{ParameterValue, Parameters};
use crate::tensor::{Datatype, NamedTensors, Tensor};

/// Decodes a request. `rest` is the part of the body after the JSON, the bytes of binary tensors, which become slices of
/// it.
pub fn decode_json(json: &Bytes, mut rest: Bytes) -> Result<InferRequest, DecodeError> {
    let wire = WireRequest::read(json)?;
    let inputs = wire.inputs.into_iter().map(|input| decode_input(input, &mut rest));
    let inputs = inputs.collect::<Result<NamedTensors, _>>()?;
    if rest.has_remaining() {
        return Err(DecodeError::BinaryLeft { left: rest.len() });
    }
    let parameters = wire.parameters.unwrap_or_default().into_iter().map(|(name, Scalar(value))| (name, value));
    let mut parameters: Parameters = parameters.collect();
    let outputs = wire.outputs.map(|outputs| outputs.into_iter().map(WireOutput::wanted).collect()).transpose()?;
    let binary_output = take_binary_output(&mut parameters)?;
    Ok(InferRequest { id: wire.id, parameters, inputs, outputs, binary_output })
}

/// Removes `binary_data_output` from the parameters, because it is for the host and not for plugins. True if all outputs
/// are requested as bytes, unless an output says otherwise.
pub(crate) fn take_binary_output(parameters: &mut Parameters) -> Result<bool, DecodeError> {
    let Some(at) = parameters.iter().position(|(name, _)| name == "binary_data_output") else { return Ok(false) };
    match parameters.swap_remove(at).1 {
        ParameterValue::Boolean(binary) => Ok(binary),
        _ => Err(DecodeError::BinaryOutput),
    }
}

fn decode_input(mut wire: WireInput, rest: &mut Bytes) -> Result<(Arc<str>, Tensor), DecodeError> {
    let name = wire.name.clone();
    let input = || name.clone();
    let (datatype, shape, count) = tensor_head(&wire.name, &wire.datatype, &wire.shape)?;
    let parameters = wire.parameters.take().unwrap_or_default();
    let data = match parameters.binary_data_size {
        _ if parameters.shared_memory_region.is_some() => Err(DecodeError::SharedMemory { tensor: input() }),
        Some(_) if wire.data.is_some() => Err(DecodeError::TwiceData { input: input() }),
        Some(size) if size > rest.len() as u64 => {
            Err(DecodeError::BinaryShort { input: input(), size, left: rest.len() })
        }
        Some(size) => Ok(rest.split_to(size as usize)),
        None => elements_of(&mut wire, datatype, count),
    }?;
    let tensor = Tensor::new(datatype, shape, data);
    let tensor = tensor.map_err(|error| DecodeError::Tensor { input: input(), error })?;
    Ok((wire.name.into(), tensor))
}

fn elements_of(wire: &mut WireInput, datatype: Datatype, count: u64) -> Result<Bytes, DecodeError> {
    match wire.data.take() {
        Some(Data::Read(bytes)) => Ok(bytes.into()),
        Some(Data::Text(text)) => match elements::parse_all(datatype, Some(count), text) {
            Ok(elements) => Ok(elements.bytes.into()),
            Err(problem) => Err(DecodeError::Data { input: wire.name.clone(), problem }),
        },
        None => Err(DecodeError::NoData { input: wire.name.clone() }),
    }
}

/// Reads the elements that `json`, a slice of `body`, begins with. Returns their bytes, and the length of their text.
pub(crate) fn read_elements(
    input: &str,
    datatype: Datatype,
    count: u64,
    json: &[u8],
    body: &Bytes,
) -> Result<(Vec<u8>, usize), DecodeError> {
    match parallel_read::parse_within(datatype, count, json, body) {
        Ok(elements) => Ok((elements.bytes, elements.length)),
        Err(problem) => Err(DecodeError::Data { input: input.to_owned(), problem }),
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
