//! An inference request as it stands in JSON. Its tensors are read where they stand, when what they are was said before;
//! clients of the protocol say it before.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::decode::{Scalar, read_elements};
use crate::codec::error::DecodeError;
use crate::codec::json::scanner::JsonScanner;
use crate::inference::WantedOutput;
use crate::tensor::{self, Datatype};

/// An inference request as JSON.
#[derive(ToSchema)]
#[schema(as = InferRequest)]
pub struct WireRequest<'a> {
    /// Comes back in the reply.
    pub id: Option<String>,
    /// Booleans, numbers and texts for the plugins; `binary_data_output` is the host's.
    #[schema(value_type = Option<BTreeMap<String, ParameterForm>>)]
    pub parameters: Option<BTreeMap<String, Scalar>>,
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
    /// Flat or nested; absent where `binary_data_size` says that bytes follow the JSON.
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub data: Option<Data<'a>>,
}

/// The value of a parameter.
#[derive(ToSchema)]
#[schema(as = Parameter)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by the document of the surface only")]
pub enum ParameterForm {
    Boolean(bool),
    Number(f64),
    Text(String),
}

/// A name of a datatype, for the document of the surface.
fn datatype_form() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Datatype::ALL.map(Datatype::name))).build()
}

/// The elements of an input.
pub enum Data<'a> {
    Read(Vec<u8>),
    /// What it is was said after it, or not at all.
    Text(&'a str),
}

/// Asks for an output.
#[derive(Deserialize, ToSchema)]
#[schema(as = RequestedOutput)]
pub struct WireOutput {
    name: String,
    #[serde(default)]
    parameters: Option<TensorParameters>,
}

/// What we know of the parameters of a tensor. Others are of extensions that we do not have, and change nothing.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct TensorParameters {
    /// Of an input: so many bytes after the JSON are its data.
    pub binary_data_size: Option<u64>,
    /// Of an output: whether it is wanted as bytes after the JSON.
    binary_data: Option<bool>,
    /// Of an output: so many of its best elements are wanted, as texts `value:index`.
    classification: Option<usize>,
    #[schema(ignore)]
    pub shared_memory_region: Option<IgnoredAny>,
}

impl<'a> WireRequest<'a> {
    pub fn read(json: &'a Bytes) -> Result<WireRequest<'a>, DecodeError> {
        let mut walk = JsonScanner::new(json);
        let (mut id, mut parameters, mut inputs, mut outputs) = (None, None, None, None);
        walk.object(|walk, field| match field {
            "id" => walk.once(field, &mut id),
            "parameters" => walk.once(field, &mut parameters),
            "outputs" => walk.once(field, &mut outputs),
            "inputs" if inputs.is_some() => Err(walk.twice(field)),
            "inputs" => {
                let all = inputs.insert(Vec::new());
                walk.array(|walk| {
                    all.push(WireInput::read(walk, json)?);
                    Ok(())
                })
            }
            _ => walk.skip_value(),
        })?;
        walk.end()?;
        let inputs = inputs.ok_or_else(|| walk.missing("inputs"))?;
        Ok(WireRequest { id: id.flatten(), parameters: parameters.flatten(), inputs, outputs: outputs.flatten() })
    }
}

impl<'a> WireInput<'a> {
    fn read(walk: &mut JsonScanner<'a>, body: &Bytes) -> Result<WireInput<'a>, DecodeError> {
        let (mut name, mut datatype, mut shape) = (None, None, None);
        let (mut parameters, mut data) = (None, None);
        walk.object(|walk, field| match field {
            "name" => walk.once(field, &mut name),
            "datatype" => walk.once(field, &mut datatype),
            "shape" => walk.once(field, &mut shape),
            "parameters" => walk.once(field, &mut parameters),
            "data" if data.is_some() => Err(walk.twice(field)),
            "data" => {
                data = Some(read_data(walk, body, name.as_deref(), datatype.as_deref(), shape.as_deref())?);
                Ok(())
            }
            _ => walk.skip_value(),
        })?;
        Ok(WireInput {
            name: name.ok_or_else(|| walk.missing("name"))?,
            datatype: datatype.ok_or_else(|| walk.missing("datatype"))?,
            shape: shape.ok_or_else(|| walk.missing("shape"))?,
            parameters: parameters.flatten(),
            data: data.flatten(),
        })
    }
}

fn read_data<'a>(
    walk: &mut JsonScanner<'a>,
    body: &Bytes,
    name: Option<&str>,
    datatype: Option<&str>,
    shape: Option<&[i64]>,
) -> Result<Option<Data<'a>>, DecodeError> {
    let (datatype, count) = (datatype.and_then(Datatype::from_name), shape.and_then(count));
    if let (Some(name), Some(datatype), Some(count)) = (name, datatype, count)
        && let Some(json) = walk.rest_if(b'[')
    {
        let (bytes, length) = read_elements(name, datatype, count, json, body)?;
        walk.advance(length);
        return Ok(Some(Data::Read(bytes)));
    }
    // A wrong shape or datatype is told by whoever makes the tensor.
    let text = walk.raw()?;
    Ok((text != "null").then_some(Data::Text(text)))
}

fn count(shape: &[i64]) -> Option<u64> {
    let shape: Option<Vec<u64>> = shape.iter().map(|dimension| u64::try_from(*dimension).ok()).collect();
    tensor::element_count(&shape?).ok()
}

impl WireOutput {
    pub fn wanted(self) -> Result<WantedOutput, DecodeError> {
        let parameters = self.parameters.unwrap_or_default();
        if parameters.shared_memory_region.is_some() {
            return Err(DecodeError::SharedMemory { tensor: self.name });
        }
        // As the extension has it, none of the classes is the tensor itself.
        let classification = parameters.classification.filter(|count| *count > 0);
        Ok(WantedOutput { name: self.name, binary: parameters.binary_data, classification })
    }
}
