//! Request bodies.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use serde::Deserialize;
use serde::de::Visitor;

use super::elements;
use super::request::{Data, WireInput, WireOutput, WireRequest};
use crate::sandbox::{ParameterValue, Parameters};
use crate::tensor::{self, Datatype, NamedTensors, Tensor, TensorError};

/// An inference request, whatever it came as.
#[derive(Debug, Default)]
pub struct InferRequest {
    pub id: Option<String>,
    pub parameters: Parameters,
    pub inputs: NamedTensors,
    /// The outputs that the client wants, in its order; all of them where it named none.
    pub outputs: Option<Vec<WantedOutput>>,
    /// Whether an output that says nothing itself is wanted as bytes. Only some protocols have the choice.
    pub binary_output: bool,
}

/// An output that the client asked for by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedOutput {
    pub name: String,
    /// As bytes or as text; what the request says for all of them where this says nothing.
    pub binary: Option<bool>,
    /// So many of the best classes, as text, instead of the tensor.
    pub classification: Option<usize>,
}

/// The body is not a request. The texts tell a client where and how.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not JSON of an inference request: {problem}, at byte {byte}")]
    Json { problem: String, byte: usize },
    #[error("the message is not an inference request: {0}")]
    Message(String),
    /// In the words of TensorFlow Serving, to whose clients they are known.
    #[error("{0}")]
    Tensorflow(String),
    #[error("input \"{input}\" has datatype \"{datatype}\", which there is not; there are: {known}")]
    Datatype { input: String, datatype: String, known: String },
    #[error("input \"{input}\" has a dimension of {dimension}; sizes are 0 or more")]
    Dimension { input: String, dimension: i64 },
    #[error("input \"{input}\" has no \"data\"")]
    NoData { input: String },
    #[error("input \"{input}\": data: {problem}")]
    Data { input: String, problem: String },
    #[error("input \"{input}\" {error}")]
    Tensor { input: String, error: TensorError },
    #[error(
        "the body is given as the model's only BYTES input, and this model's inputs are: {inputs}. Send JSON with content-type application/json, or the bytes of an only tensor with Inference-Header-Content-Length: 0"
    )]
    NotBytes { inputs: String },
    #[error(
        "the body is given as the bytes of the model's only input, which must leave at most one dimension open, and this model's inputs are: {inputs}. Send JSON before the tensors, and its length as Inference-Header-Content-Length"
    )]
    NotRaw { inputs: String },
    #[error(
        "the body has {bytes} bytes, which is no whole number of rows of the model's only input: {input} ({row} bytes each)"
    )]
    RawRows { bytes: usize, input: String, row: u64 },
    #[error(
        "Inference-Header-Content-Length is \"{value}\", and must be, once, the length of the body's JSON in bytes"
    )]
    Header { value: String },
    #[error("Inference-Header-Content-Length is {length}, and the body has {body} bytes")]
    HeaderTooLong { length: usize, body: usize },
    #[error(
        "input \"{input}\" has a binary_data_size of {size}, and {left} bytes of the body are left for it after the JSON (whose length Inference-Header-Content-Length tells) and the tensors before it"
    )]
    BinaryShort { input: String, size: u64, left: usize },
    #[error("the body has {left} bytes after its JSON and the binary tensors that this announces")]
    BinaryLeft { left: usize },
    #[error("input \"{input}\" has both \"data\" and a binary_data_size")]
    TwiceData { input: String },
    #[error("\"{tensor}\" is asked for in shared memory, which this host does not have: send and fetch it in the body")]
    SharedMemory { tensor: String },
    #[error("field \"{field}\": {error}")]
    Field { field: String, error: serde_json::Error },
    #[error("{count} elements cannot be the input {input}")]
    NoShape { input: String, count: u64 },
    #[error("parameter \"binary_data_output\" must be true or false")]
    BinaryOutput,
}

/// `rest` is what follows the JSON: the bytes of tensors, which are taken where they lie.
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

/// Whether all outputs are wanted as bytes, unless they say otherwise. It is said to the host and not to plugins.
pub(super) fn take_binary_output(parameters: &mut Parameters) -> Result<bool, DecodeError> {
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

/// What a client says of a tensor besides its data, and how many elements follow from it.
pub fn tensor_head(input: &str, datatype: &str, sizes: &[i64]) -> Result<(Datatype, Vec<u64>, u64), DecodeError> {
    let known = Datatype::from_name(datatype).ok_or_else(|| DecodeError::Datatype {
        input: input.into(),
        datatype: datatype.into(),
        known: Datatype::ALL.map(Datatype::name).join(", "),
    })?;
    let (shape, count) = tensor_shape(input, sizes)?;
    Ok((known, shape, count))
}

/// A shape that a tensor can have, and its number of elements.
pub fn tensor_shape(input: &str, sizes: &[i64]) -> Result<(Vec<u64>, u64), DecodeError> {
    let size =
        |size: &i64| u64::try_from(*size).map_err(|_| DecodeError::Dimension { input: input.into(), dimension: *size });
    let shape = sizes.iter().map(size).collect::<Result<Vec<u64>, _>>()?;
    let count = tensor::element_count(&shape).map_err(|error| DecodeError::Tensor { input: input.into(), error })?;
    Ok((shape, count))
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

/// The bytes of the elements, and the length of their text.
pub(super) fn read_elements(
    input: &str,
    datatype: Datatype,
    count: u64,
    json: &[u8],
    body: &Bytes,
) -> Result<(Vec<u8>, usize), DecodeError> {
    match elements::parse_within(datatype, count, json, body) {
        Ok(elements) => Ok((elements.bytes, elements.length)),
        Err(problem) => Err(DecodeError::Data { input: input.to_owned(), problem }),
    }
}

/// The value of a parameter. Anything larger ends the reading where it begins.
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
