//! The decoder of `ModelInferRequest`. The message is split into its parts where it arrives; the tensors in them are read
//! on a compute thread.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::codec::error::DecodeError;
use crate::codec::protobuf::fields::{Fields, MAX_FIELDS, Malformed};
use crate::codec::protobuf::repeated::{ElementError, RepeatedElements};
use crate::codec::tensor_head::tensor_head;
use crate::inference::{InferRequest, WantedOutput};
use crate::sandbox::{ParameterValue, Parameters};
use crate::tensor::{Datatype, NamedTensors, Tensor};

/// The parts of a request, still encoded.
#[derive(Default)]
pub struct ModelInferParts {
    pub model: String,
    pub version: String,
    pub id: String,
    /// Size in bytes of the whole message.
    pub bytes: u64,
    parameters: Vec<Bytes>,
    inputs: Vec<Bytes>,
    outputs: Vec<Bytes>,
    raw: Vec<Bytes>,
}

const EMPTY_FINAL_RESPONSE: &str = "triton_enable_empty_final_response";

impl ModelInferParts {
    /// Splits a message. This reads each field once, and the number of fields is bounded, so that it is cheap enough for an
    /// I/O thread.
    pub fn open(message: Bytes) -> Result<ModelInferParts, Malformed> {
        let mut parts = ModelInferParts { bytes: message.len() as u64, ..ModelInferParts::default() };
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => parts.model = field.text()?,
                2 => parts.version = field.text()?,
                3 => parts.id = field.text()?,
                4 => parts.parameters.push(field.bytes()?),
                5 => parts.inputs.push(field.bytes()?),
                6 => parts.outputs.push(field.bytes()?),
                7 => parts.raw.push(field.bytes()?),
                _ => {}
            }
        }
        Ok(parts)
    }

    /// True if the client wants an empty response after the last one, to know that there are no more.
    pub fn wants_final_response(&self) -> bool {
        let parameters = decode_parameters(self.parameters.clone()).unwrap_or_default();
        parameters.contains(&(EMPTY_FINAL_RESPONSE.to_owned(), ParameterValue::Boolean(true)))
    }

    pub fn decode(self) -> Result<InferRequest, DecodeError> {
        let (inputs, raw) = (self.inputs.len(), self.raw.len());
        if raw > 0 && raw != inputs {
            let text =
                format!("there are {inputs} inputs and {raw} raw_input_contents: send one for each input, or none");
            return Err(DecodeError::Message(text));
        }
        let mut raw = self.raw.into_iter();
        let decode = |input: Bytes| decode_input(input, raw.next());
        let inputs = self.inputs.into_iter().map(decode).collect::<Result<NamedTensors, _>>()?;
        let outputs = self.outputs.into_iter().map(decode_output).collect::<Result<Vec<_>, _>>()?;
        let mut parameters = decode_parameters(self.parameters)?;
        // This parameter is for the host, and plugins do not get it.
        parameters.retain(|(name, _)| name != EMPTY_FINAL_RESPONSE);
        Ok(InferRequest {
            id: (!self.id.is_empty()).then_some(self.id),
            parameters,
            inputs,
            outputs: (!outputs.is_empty()).then_some(outputs),
            ..InferRequest::default()
        })
    }
}

/// An input before its elements are read.
#[derive(Default)]
struct Input {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    parameters: Vec<Bytes>,
    contents: Option<Bytes>,
}

fn decode_input(message: Bytes, raw: Option<Bytes>) -> Result<(std::sync::Arc<str>, Tensor), DecodeError> {
    let input = open_input(message)?;
    let name = input.name;
    refuse_shared_memory(&name, input.parameters)?;
    let (datatype, shape, count) = tensor_head(&name, &input.datatype, &input.shape)?;
    let data = match (raw, input.contents) {
        (Some(raw), None) => raw,
        (None, Some(contents)) => read_contents(contents, datatype, count)
            .map_err(|problem| DecodeError::Data { input: name.clone(), problem: problem.to_string() })?,
        // An input without elements may omit its empty list.
        (None, None) if count == 0 => Bytes::new(),
        (None, None) => {
            let problem = "it has neither contents nor raw_input_contents".into();
            return Err(DecodeError::Data { input: name, problem });
        }
        (Some(_), Some(_)) => {
            let problem = "contents must not be specified beside raw_input_contents".into();
            return Err(DecodeError::Data { input: name, problem });
        }
    };
    let tensor = Tensor::new(datatype, shape, data);
    let tensor = tensor.map_err(|error| DecodeError::Tensor { input: name.clone(), error })?;
    Ok((name.into(), tensor))
}

fn open_input(message: Bytes) -> Result<Input, Malformed> {
    let mut input = Input::default();
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => input.name = field.text()?,
            2 => input.datatype = field.text()?,
            3 => field.varints(|size| {
                input.shape.push(size.cast_signed());
                input.shape.len() < MAX_FIELDS
            })?,
            4 => input.parameters.push(field.bytes()?),
            5 => input.contents = Some(field.bytes()?),
            _ => {}
        }
    }
    Ok(input)
}

/// Number and name of the field of `InferTensorContents` that lists the elements of a datatype; `None` if there is none.
fn list(datatype: Datatype) -> Option<(u32, &'static str)> {
    Some(match datatype {
        Datatype::Bool => (1, "bool_contents"),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => (2, "int_contents"),
        Datatype::Int64 => (3, "int64_contents"),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => (4, "uint_contents"),
        Datatype::Uint64 => (5, "uint64_contents"),
        Datatype::Fp32 => (6, "fp32_contents"),
        Datatype::Fp64 => (7, "fp64_contents"),
        Datatype::Bytes => (8, "bytes_contents"),
        Datatype::Fp16 | Datatype::Bf16 => return None,
    })
}

fn read_contents(contents: Bytes, datatype: Datatype, count: u64) -> Result<Bytes, ElementError> {
    let (wanted, name) = list(datatype).ok_or(ElementError::OnlyRaw { datatype })?;
    let mut elements = RepeatedElements::new(datatype, count);
    // Every field takes at least two bytes, so this bound is never reached; more elements than `count` are an error.
    let mut fields = Fields::at_most(contents.len(), contents);
    while let Some(field) = fields.next_field()? {
        if field.number != wanted {
            return Err(ElementError::OtherList { datatype, name });
        }
        elements.take(field)?;
    }
    elements.finish()
}

fn decode_output(message: Bytes) -> Result<WantedOutput, DecodeError> {
    let mut output = WantedOutput::default();
    let mut parameters = Vec::new();
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => output.name = field.text()?,
            2 => parameters.push(field.bytes()?),
            _ => {}
        }
    }
    for (name, value) in decode_parameters(parameters)? {
        match (name.as_str(), value) {
            ("classification", ParameterValue::Integer(best)) if best >= 0 => {
                output.classification = usize::try_from(best).ok().filter(|best| *best > 0)
            }
            ("classification", _) => {
                let text = format!("output \"{}\": classification must be a whole number", output.name);
                return Err(DecodeError::Message(text));
            }
            ("shared_memory_region", _) => return Err(DecodeError::SharedMemory { tensor: output.name }),
            _ => {}
        }
    }
    Ok(output)
}

fn refuse_shared_memory(input: &str, parameters: Vec<Bytes>) -> Result<(), DecodeError> {
    let parameters = decode_parameters(parameters)?;
    match parameters.iter().any(|(name, _)| name == "shared_memory_region") {
        true => Err(DecodeError::SharedMemory { tensor: input.into() }),
        false => Ok(()),
    }
}

/// Decodes the entries of a `map<string, InferParameter>`. The last of several with one name counts, as protobuf says of
/// maps.
fn decode_parameters(entries: Vec<Bytes>) -> Result<Parameters, DecodeError> {
    let mut parameters = BTreeMap::new();
    for entry in entries {
        let (mut name, mut value) = (String::new(), None);
        let mut fields = Fields::of(entry);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => name = field.text()?,
                2 => value = decode_parameter(field.bytes()?)?,
                _ => {}
            }
        }
        let value = value.ok_or_else(|| DecodeError::Message(format!("parameter \"{name}\" has no value")))?;
        parameters.insert(name, value);
    }
    Ok(parameters.into_iter().collect())
}

fn decode_parameter(message: Bytes) -> Result<Option<ParameterValue>, Malformed> {
    let mut value = None;
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next_field()? {
        value = match field.number {
            1 => Some(ParameterValue::Boolean(field.varint()? != 0)),
            2 => Some(ParameterValue::Integer(field.varint()?.cast_signed())),
            3 => Some(ParameterValue::Text(field.text()?)),
            4 => Some(ParameterValue::Number(field.double()?)),
            5 => {
                let number = field.varint()?;
                let integer = i64::try_from(number).map(ParameterValue::Integer);
                Some(integer.unwrap_or(ParameterValue::Number(number as f64)))
            }
            _ => value,
        };
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// Encodes a field as a client does; there is no generated code for the request.
    fn field(number: u32, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
        prost::encoding::encode_varint(value.len() as u64, &mut bytes);
        bytes.extend(value);
        bytes
    }

    fn request(last: &[u8]) -> Vec<u8> {
        use crate::protocol::pb::inference::InferParameter;
        use crate::protocol::pb::inference::infer_parameter::ParameterChoice;
        let parameter = |choice| InferParameter { parameter_choice: Some(choice) }.encode_to_vec();
        let entry = |name: &[u8], choice| [field(1, name), field(2, &parameter(choice))].concat();
        let input = [field(1, b"x"), field(2, b"INT16"), vec![0x18, 2], last.to_vec()].concat();
        let parameters = [
            field(4, &entry(b"flag", ParameterChoice::BoolParam(true))),
            field(4, &entry(b"low", ParameterChoice::Int64Param(-5))),
            field(4, &entry(b"high", ParameterChoice::Uint64Param(u64::MAX))),
            field(4, &entry(b"half", ParameterChoice::DoubleParam(0.5))),
        ];
        [
            field(1, b"m"),
            field(2, b"1"),
            field(3, b"id"),
            parameters.concat(),
            field(5, &input),
            field(6, &field(1, b"y")),
        ]
        .concat()
    }

    fn decode(message: Vec<u8>) -> Result<InferRequest, DecodeError> {
        ModelInferParts::open(message.into())?.decode()
    }

    #[test]
    fn typed_and_raw_are_the_same() {
        let minus_one = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let typed = field(5, &field(2, &[&[7], &minus_one[..]].concat()));
        let typed = decode(request(&typed)).unwrap();
        let raw = decode([request(b""), field(7, b"\x07\0\xff\xff")].concat()).unwrap();
        assert_eq!(typed.inputs, raw.inputs);
        assert_eq!((typed.id.as_deref(), typed.outputs.unwrap()[0].name.as_str()), (Some("id"), "y"));
        let values: Vec<ParameterValue> = typed.parameters.into_iter().map(|(_, value)| value).collect();
        let number = ParameterValue::Number;
        // In the order of their names.
        let wanted = [ParameterValue::Boolean(true), number(0.5), number(u64::MAX as f64), ParameterValue::Integer(-5)];
        assert_eq!(values, wanted);
    }

    /// Truncated and corrupted messages must give a request or an error, and never a panic.
    #[test]
    fn damaged_messages_are_requests_or_errors() {
        for whole in [request(&field(5, &field(2, &[7, 8]))), [request(b""), field(7, &[1, 2, 3, 4])].concat()] {
            assert!(decode(whole.clone()).is_ok());
            for at in 0..whole.len() {
                let _ = decode(whole[..at].to_vec());
                for mask in [0x01, 0x08, 0x80, 0xff] {
                    let mut corrupted = whole.clone();
                    corrupted[at] ^= mask;
                    let _ = decode(corrupted);
                }
            }
        }
    }
}
