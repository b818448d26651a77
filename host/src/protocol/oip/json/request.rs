//! The JSON form of an inference request. A tensor's data is read in place if its name, datatype and shape come before it,
//! as the protocol's clients send them; otherwise its text is kept until they are known.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::codec::error::DecodeError;
use crate::codec::json::parallel_read;
use crate::codec::json::scanner::JsonScanner;
use crate::codec::parameters::ParameterMap;
use crate::inference::WantedOutput;
use crate::scheduler::CallContext;
use crate::tensor::{self, Datatype};

/// An inference request as JSON.
#[derive(ToSchema)]
#[schema(as = InferRequest)]
pub struct WireRequest<'a> {
    /// An id that the reply repeats.
    pub id: Option<String>,
    /// Parameters for the plugins, which are booleans, numbers or strings. `binary_data_output` is for the host.
    #[schema(value_type = Option<BTreeMap<String, ParameterForm>>)]
    pub parameters: Option<ParameterMap>,
    pub inputs: Vec<WireInput<'a>>,
    pub outputs: Option<Vec<WireOutput>>,
}

#[derive(ToSchema)]
#[schema(as = InputTensor)]
pub struct WireInput<'a> {
    pub name: String,
    #[schema(schema_with = datatype_form)]
    pub datatype: Cow<'a, str>,
    #[schema(value_type = Vec<u64>)]
    pub shape: Vec<i64>,
    pub parameters: Option<TensorParameters>,
    /// The elements, as a flat or nested list; absent if `binary_data_size` says that they follow the JSON as bytes.
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub data: Option<Data<'a>>,
}

/// The value of a parameter.
#[derive(ToSchema)]
#[schema(as = Parameter)]
#[serde(untagged)]
#[expect(dead_code, reason = "used for the OpenAPI schema only")]
pub(super) enum ParameterForm {
    Boolean(bool),
    Number(f64),
    Text(String),
}

/// The schema of a datatype's name, which lists all datatypes.
fn datatype_form() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Datatype::ALL.map(Datatype::name))).build()
}

/// The elements of an input.
pub enum Data<'a> {
    Read(Vec<u8>),
    /// The text of elements that could not be read in place: the name, datatype or shape was not known before them, or they
    /// are not a list.
    Text(&'a str),
}

/// An output that the client requests.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "an object with the name of an output")]
#[schema(as = RequestedOutput)]
pub struct WireOutput {
    name: String,
    #[serde(default)]
    parameters: Option<TensorParameters>,
}

/// The parameters of a tensor. Others belong to extensions that the host does not have, and are ignored.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, expecting = "an object of parameters")]
pub struct TensorParameters {
    /// Size in bytes of an input's data, which follows the JSON.
    pub binary_data_size: Option<u64>,
    /// True to get an output as bytes after the JSON.
    binary_data: Option<bool>,
    /// Number of an output's largest elements to get as strings `value:index`, instead of the tensor.
    classification: Option<usize>,
    #[schema(ignore)]
    pub shared_memory_region: Option<IgnoredAny>,
}

impl<'a> WireRequest<'a> {
    pub fn read(context: &CallContext, json: &'a Bytes) -> Result<WireRequest<'a>, DecodeError> {
        let mut scanner = JsonScanner::new(json);
        let (mut id, mut parameters, mut inputs, mut outputs) = (None, None, None, None);
        scanner.object(|scanner, field| match field {
            "id" => scanner.once(field, &mut id),
            "parameters" => scanner.once(field, &mut parameters),
            "outputs" => scanner.once(field, &mut outputs),
            "inputs" if inputs.is_some() => Err(scanner.twice(field)),
            "inputs" => {
                let all = inputs.insert(Vec::new());
                scanner.array(|scanner| {
                    all.push(WireInput::read(context, scanner, json)?);
                    Ok(())
                })
            }
            _ => scanner.skip_value(),
        })?;
        let byte = scanner.position();
        let ended = scanner.end();
        let inputs = inputs.ok_or_else(|| scanner.missing("inputs"))?;
        ended.map_err(
            |more| if inputs.iter().any(WireInput::is_binary) { DecodeError::NoHeader { byte } } else { more },
        )?;
        Ok(WireRequest { id: id.flatten(), parameters: parameters.flatten(), inputs, outputs: outputs.flatten() })
    }
}

impl<'a> WireInput<'a> {
    fn read(context: &CallContext, scanner: &mut JsonScanner<'a>, body: &Bytes) -> Result<WireInput<'a>, DecodeError> {
        let (mut name, mut datatype, mut shape) = (None, None, None);
        let (mut parameters, mut data) = (None, None);
        scanner.object(|scanner, field| match field {
            "name" => scanner.once(field, &mut name),
            "datatype" => scanner.once(field, &mut datatype),
            "shape" => scanner.once(field, &mut shape),
            "parameters" => scanner.once(field, &mut parameters),
            "data" if data.is_some() => Err(scanner.twice(field)),
            "data" => {
                let (name, datatype) = (name.as_deref(), datatype.as_deref());
                data = Some(read_data(context, scanner, body, name, datatype, shape.as_deref())?);
                Ok(())
            }
            _ => scanner.skip_value(),
        })?;
        Ok(WireInput {
            name: name.ok_or_else(|| scanner.missing("name"))?,
            datatype: datatype.ok_or_else(|| scanner.missing("datatype"))?,
            shape: shape.ok_or_else(|| scanner.missing("shape"))?,
            parameters: parameters.flatten(),
            data: data.flatten(),
        })
    }
}

impl WireInput<'_> {
    /// True if the input's data is to follow the JSON.
    fn is_binary(&self) -> bool {
        self.parameters.as_ref().is_some_and(|parameters| parameters.binary_data_size.is_some())
    }
}

fn read_data<'a>(
    context: &CallContext,
    scanner: &mut JsonScanner<'a>,
    body: &Bytes,
    name: Option<&str>,
    datatype: Option<&str>,
    shape: Option<&[i64]>,
) -> Result<Option<Data<'a>>, DecodeError> {
    let (datatype, shape) = (datatype.and_then(Datatype::from_name), shape.and_then(known_shape));
    if let (Some(name), Some(datatype), Some(shape)) = (name, datatype, shape)
        && let Some(json) = scanner.rest_if(b'[')
    {
        let (bytes, length) = read_elements(context, name, datatype, &shape, json, body)?;
        scanner.advance(length);
        return Ok(Some(Data::Read(bytes)));
    }
    // A wrong shape or datatype is reported later, when the tensor is made.
    let text = scanner.raw()?;
    Ok((text != "null").then_some(Data::Text(text)))
}

/// Reads the elements that `json`, a slice of `body`, begins with. Returns their bytes, and the length of their text.
fn read_elements(
    context: &CallContext,
    input: &str,
    datatype: Datatype,
    shape: &[u64],
    json: &[u8],
    body: &Bytes,
) -> Result<(Vec<u8>, usize), DecodeError> {
    match parallel_read::parse_within(context, datatype, shape, json, body) {
        Ok(elements) => Ok((elements.bytes, elements.length)),
        Err(problem) => Err(DecodeError::Data { input: input.to_owned(), problem }),
    }
}

/// The shape as it was sent, if a tensor can have it.
fn known_shape(shape: &[i64]) -> Option<Vec<u64>> {
    let shape: Option<Vec<u64>> = shape.iter().map(|dimension| u64::try_from(*dimension).ok()).collect();
    shape.filter(|shape| tensor::element_count(shape).is_ok())
}

impl WireOutput {
    pub fn wanted(self) -> Result<WantedOutput, DecodeError> {
        let parameters = self.parameters.unwrap_or_default();
        if parameters.shared_memory_region.is_some() {
            return Err(DecodeError::SharedMemory { tensor: self.name });
        }
        // A classification of 0 requests the tensor itself, as the extension defines it.
        let classification = parameters.classification.filter(|count| *count > 0);
        Ok(WantedOutput { name: self.name, binary: parameters.binary_data, classification })
    }
}
