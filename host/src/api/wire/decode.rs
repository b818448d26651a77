//! Request bodies.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::Visitor;
use serde_json::value::RawValue;

use super::elements;
use crate::sandbox::{ParameterValue, Parameters};
use crate::tensor::{self, Datatype, NamedTensors, Signature, Tensor, TensorError};

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
    #[error("the body is not JSON of an inference request: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the message is not an inference request: {0}")]
    Message(String),
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
        "binary tensors (Inference-Header-Content-Length) are not served yet: send JSON, in tritonclient with binary_data=False"
    )]
    Binary,
    #[error(
        "the body is given as the model's only BYTES input, and this model's inputs are: {inputs}. Send JSON with content-type application/json"
    )]
    NotRaw { inputs: String },
}

#[derive(Deserialize)]
struct WireRequest<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<BTreeMap<String, Scalar>>,
    #[serde(borrow)]
    inputs: Vec<WireInput<'a>>,
    #[serde(default)]
    outputs: Option<Vec<WireOutput>>,
}

#[derive(Deserialize)]
struct WireInput<'a> {
    name: String,
    datatype: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireOutput {
    name: String,
}

impl WireOutput {
    fn wanted(self) -> WantedOutput {
        WantedOutput { name: self.name, ..WantedOutput::default() }
    }
}

pub fn decode_json(body: &[u8]) -> Result<InferRequest, DecodeError> {
    let wire: WireRequest = serde_json::from_slice(body)?;
    let inputs = wire.inputs.into_iter().map(decode_input).collect::<Result<NamedTensors, _>>()?;
    Ok(InferRequest {
        id: wire.id,
        parameters: wire
            .parameters
            .unwrap_or_default()
            .into_iter()
            .map(|(name, Scalar(value))| (name, value))
            .collect(),
        inputs,
        outputs: wire.outputs.map(|outputs| outputs.into_iter().map(WireOutput::wanted).collect()),
        binary_output: false,
    })
}

/// The body as it is, for a model that takes one BYTES tensor: a picture, a text, a file. Its parameters stand in the
/// address: `?top_k=3`.
pub fn decode_raw(body: &[u8], query: &str, signature: &Signature) -> Result<InferRequest, DecodeError> {
    let [input] = &signature.inputs[..] else { return Err(not_raw(signature)) };
    if input.datatype != Datatype::Bytes {
        return Err(not_raw(signature));
    }
    let ones = vec![1; input.shape.len()];
    let tensor = Tensor::byte_string(body).reshape(ones);
    let tensor = tensor.map_err(|error| DecodeError::Tensor { input: input.name.to_string(), error })?;
    let inputs = vec![(input.name.clone(), tensor)];
    Ok(InferRequest { parameters: query_parameters(query), inputs, ..InferRequest::default() })
}

/// Each value is taken for what it looks like: a boolean, a number, else a text.
fn query_parameters(query: &str) -> Parameters {
    let value = |text: &str| {
        let boolean = text.parse().map(ParameterValue::Boolean).ok();
        let integer = || text.parse().map(ParameterValue::Integer).ok();
        let number = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(ParameterValue::Number);
        boolean.or_else(integer).or_else(number).unwrap_or_else(|| ParameterValue::Text(text.to_owned()))
    };
    form_urlencoded::parse(query.as_bytes()).map(|(name, text)| (name.into_owned(), value(&text))).collect()
}

fn not_raw(signature: &Signature) -> DecodeError {
    let inputs: Vec<String> = signature.inputs.iter().map(|spec| spec.describe()).collect();
    DecodeError::NotRaw { inputs: inputs.join(", ") }
}

fn decode_input(wire: WireInput) -> Result<(Arc<str>, Tensor), DecodeError> {
    let input = || wire.name.clone();
    let (datatype, shape, count) = tensor_head(&wire.name, &wire.datatype, &wire.shape)?;
    let data = wire.data.ok_or_else(|| DecodeError::NoData { input: input() })?;
    let bytes = elements::parse(datatype, count, data.get())
        .map_err(|problem| DecodeError::Data { input: input(), problem })?;
    let tensor = Tensor::new(datatype, shape, Bytes::from(bytes));
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

/// The value of a parameter. Anything larger ends the reading where it begins.
struct Scalar(ParameterValue);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_an_address_are_what_they_look_like() {
        let parameters = query_parameters("top_k=3&threshold=0.5&exact=true&name=a%20b&odd=NaN");
        let wanted = [
            ("top_k", ParameterValue::Integer(3)),
            ("threshold", ParameterValue::Number(0.5)),
            ("exact", ParameterValue::Boolean(true)),
            ("name", ParameterValue::Text("a b".into())),
            ("odd", ParameterValue::Text("NaN".into())),
        ];
        assert_eq!(parameters, wanted.map(|(name, value)| (name.to_owned(), value)));
        assert!(query_parameters("").is_empty());
    }
}
