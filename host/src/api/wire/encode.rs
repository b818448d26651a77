//! Replies.

use std::io::{self, Write};

use half::{bf16, f16};
use serde::Serialize;
use serde::ser::{Error, SerializeMap, SerializeSeq, Serializer};

use crate::tensor::{Datatype, NamedTensors, Tensor};

/// The result cannot be sent as JSON.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("the reply has more than {bound} (http.reply-bytes); ask for fewer outputs, or send less at once", bound = crate::config::format_bytes(*.bound))]
    TooLarge { bound: u64 },
    #[error("output \"{output}\" holds bytes that are not UTF-8, and JSON can only carry text")]
    NotText { output: String },
    #[error("{0}")]
    Json(serde_json::Error),
}

/// The reply to an inference request. A NaN or an infinity, which JSON does not have, becomes `null`.
pub fn encode_json(
    model: &str,
    version: &str,
    id: Option<&str>,
    outputs: &NamedTensors,
    bound: u64,
) -> Result<Vec<u8>, EncodeError> {
    for (name, tensor) in outputs {
        if tensor.datatype() == Datatype::Bytes && tensor.byte_strings().any(|text| std::str::from_utf8(text).is_err())
        {
            return Err(EncodeError::NotText { output: name.to_string() });
        }
    }
    let mut body = Bounded { bytes: Vec::with_capacity(256), bound: bound as usize };
    let reply = Reply { model, version, id, outputs };
    match serde_json::to_writer(&mut body, &reply) {
        Ok(()) => Ok(body.bytes),
        Err(error) if error.is_io() => Err(EncodeError::TooLarge { bound }),
        Err(error) => Err(EncodeError::Json(error)),
    }
}

struct Reply<'a> {
    model: &'a str,
    version: &'a str,
    id: Option<&'a str>,
    outputs: &'a NamedTensors,
}

impl Serialize for Reply<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reply = serializer.serialize_map(None)?;
        reply.serialize_entry("model_name", self.model)?;
        reply.serialize_entry("model_version", self.version)?;
        if let Some(id) = self.id {
            reply.serialize_entry("id", id)?;
        }
        let outputs: Vec<Output> = self.outputs.iter().map(|(name, tensor)| Output { name, tensor }).collect();
        reply.serialize_entry("outputs", &outputs)?;
        reply.end()
    }
}

struct Output<'a> {
    name: &'a str,
    tensor: &'a Tensor,
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut output = serializer.serialize_map(None)?;
        output.serialize_entry("name", self.name)?;
        output.serialize_entry("datatype", self.tensor.datatype().name())?;
        output.serialize_entry("shape", self.tensor.shape())?;
        output.serialize_entry("data", &Data(self.tensor))?;
        output.end()
    }
}

/// The elements, flat.
struct Data<'a>(&'a Tensor);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = self.0.data();
        match self.0.datatype() {
            Datatype::Bool => sequence(serializer, data.iter().map(|byte| *byte != 0)),
            Datatype::Uint8 => sequence(serializer, data.iter()),
            Datatype::Uint16 => sequence(serializer, numbers(data).map(u16::from_le_bytes)),
            Datatype::Uint32 => sequence(serializer, numbers(data).map(u32::from_le_bytes)),
            Datatype::Uint64 => sequence(serializer, numbers(data).map(u64::from_le_bytes)),
            Datatype::Int8 => sequence(serializer, numbers(data).map(i8::from_le_bytes)),
            Datatype::Int16 => sequence(serializer, numbers(data).map(i16::from_le_bytes)),
            Datatype::Int32 => sequence(serializer, numbers(data).map(i32::from_le_bytes)),
            Datatype::Int64 => sequence(serializer, numbers(data).map(i64::from_le_bytes)),
            Datatype::Fp16 => sequence(serializer, numbers(data).map(|b| f16::from_le_bytes(b).to_f32())),
            Datatype::Bf16 => sequence(serializer, numbers(data).map(|b| bf16::from_le_bytes(b).to_f32())),
            Datatype::Fp32 => sequence(serializer, numbers(data).map(f32::from_le_bytes)),
            Datatype::Fp64 => sequence(serializer, numbers(data).map(f64::from_le_bytes)),
            Datatype::Bytes => {
                let mut texts = serializer.serialize_seq(None)?;
                for text in self.0.byte_strings() {
                    texts.serialize_element(std::str::from_utf8(text).map_err(S::Error::custom)?)?;
                }
                texts.end()
            }
        }
    }
}

fn sequence<S: Serializer, T: Serialize>(serializer: S, elements: impl Iterator<Item = T>) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(elements)
}

/// The bytes of each element. A tensor's length is a multiple of its element's width.
fn numbers<const WIDTH: usize>(data: &[u8]) -> impl Iterator<Item = [u8; WIDTH]> {
    data.as_chunks::<WIDTH>().0.iter().copied()
}

/// A buffer that refuses to grow beyond its bound.
struct Bounded {
    bytes: Vec<u8>,
    bound: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bound {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(datatype: Datatype, shape: &[u64], data: &[u8]) -> Result<String, EncodeError> {
        let tensor = Tensor::new(datatype, shape.to_vec(), data.to_vec().into()).unwrap();
        encode_json("m", "1", Some("7"), &vec![("y".into(), tensor)], 200).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn writes_what_the_protocol_says() {
        let data: Vec<u8> = [1.0f32, f32::NAN].into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(
            encode(Datatype::Fp32, &[1, 2], &data).unwrap(),
            r#"{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1.0,null]}]}"#
        );
        assert!(encode(Datatype::Bytes, &[1], b"\x02\0\0\0hi").unwrap().contains(r#""data":["hi"]"#));
    }

    #[test]
    fn refuses_what_json_cannot_carry() {
        assert!(matches!(encode(Datatype::Bytes, &[1], b"\x01\0\0\0\xff"), Err(EncodeError::NotText { .. })));
        assert!(matches!(encode(Datatype::Uint8, &[200], &[9; 200]), Err(EncodeError::TooLarge { bound: 200 })));
    }
}
