//! The encoder of inference replies in JSON, with or without binary tensors behind it.

use std::cell::Cell;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::codec::error::EncodeError;
use crate::codec::json::parallel_write;
use crate::codec::json::writer::{Bounded, Encoded, NestedData};
use crate::inference::InferResponse;
use crate::numbers::to_usize;
use crate::pipeline::Pipeline;
use crate::scheduler::CallContext;
use crate::tensor::{Datatype, Tensor};

/// Encodes the reply to an inference request, within `bound` bytes. NaN and infinities, which JSON does not have, become
/// `null`.
pub fn encode(
    context: &CallContext,
    pipeline: &Pipeline,
    answer: &InferResponse,
    bound: u64,
) -> Result<Encoded, EncodeError> {
    encode_as(context, &pipeline.model, &pipeline.version, answer, bound)
}

/// Like [`encode`], with the model's name and version given, for callers without a pipeline.
pub fn encode_as(
    context: &CallContext,
    model: &str,
    version: &str,
    answer: &InferResponse,
    bound: u64,
) -> Result<Encoded, EncodeError> {
    let outputs = outputs(answer);
    encode_outputs(context, &Reply { model, version, id: answer.id.as_deref(), outputs: &outputs }, bound)
}

/// Encodes the reply to `generate`, within `bound` bytes: each output under its name, in lists that are nested as
/// its shape is, and a single element without lists.
pub fn encode_generated(pipeline: &Pipeline, answer: &InferResponse, bound: u64) -> Result<Encoded, EncodeError> {
    if let Some((name, _)) = answer.outputs.iter().find(|(_, tensor)| !is_text(tensor)) {
        let instead = "call infer, and ask for it as bytes with its parameter binary_data=true";
        return Err(EncodeError::NotText { output: name.to_string(), instead });
    }
    let generated = Generated { pipeline, answer };
    let json = write_json(to_usize(bound), bound, |out| serde_json::to_writer(out, &generated))?;
    Ok(Encoded { json, tensors: Vec::new(), binary: false })
}

fn encode_outputs(context: &CallContext, reply: &Reply, bound: u64) -> Result<Encoded, EncodeError> {
    let outputs = reply.outputs;
    for output in outputs.iter().filter(|output| !output.binary) {
        if !is_text(output.tensor) {
            let instead = "ask for it as bytes, with its parameter binary_data=true";
            return Err(EncodeError::NotText { output: output.name.to_owned(), instead });
        }
    }
    let binary: Vec<&Tensor> = outputs.iter().filter(|output| output.binary).map(|output| output.tensor).collect();
    let bytes: usize = binary.iter().map(|tensor| tensor.data().len()).sum();
    let left = to_usize(bound).checked_sub(bytes).ok_or(EncodeError::TooLarge { bound })?;
    let tensors = binary.iter().map(|tensor| tensor.data().clone()).filter(|data| !data.is_empty()).collect();
    let json = write_json(left, bound, |out| reply.write(context, out))?;
    Ok(Encoded { json, tensors, binary: !binary.is_empty() })
}

fn outputs(answer: &InferResponse) -> Vec<Output<'_>> {
    let outputs = answer.outputs.iter().zip(&answer.binary);
    outputs.map(|((name, tensor), binary)| Output { name, tensor, binary: *binary }).collect()
}

fn is_text(tensor: &Tensor) -> bool {
    tensor.datatype() != Datatype::Bytes || tensor.byte_strings().all(|text| std::str::from_utf8(text).is_ok())
}

/// Writes JSON of at most `left` bytes, the part of the reply's `bound` that the binary tensors do not take.
fn write_json(
    left: usize,
    bound: u64,
    write: impl FnOnce(&mut Bounded) -> serde_json::Result<()>,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut body = Bounded::new(left);
    match write(&mut body) {
        Ok(()) => Ok(body.into_pieces()),
        Err(error) if error.is_io() => Err(EncodeError::TooLarge { bound }),
        Err(error) => Err(EncodeError::Json(error)),
    }
}

/// The JSON part of a reply.
struct Reply<'a> {
    model: &'a str,
    version: &'a str,
    id: Option<&'a str>,
    outputs: &'a [Output<'a>],
}

struct Output<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    binary: bool,
}

#[derive(Serialize)]
struct ReplyHead<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Serialize)]
struct OutputHead<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

impl Reply<'_> {
    /// Writes the reply. Each object is left open until its last field, which is written piece by piece.
    fn write(&self, context: &CallContext, out: &mut Bounded) -> serde_json::Result<()> {
        let Reply { model, version, id, outputs } = *self;
        out.open_object(&ReplyHead { model_name: model, model_version: version, id })?;
        out.raw(b",\"outputs\":[")?;
        for (at, output) in outputs.iter().enumerate() {
            if at > 0 {
                out.raw(b",")?;
            }
            output.write(context, out)?;
        }
        out.raw(b"]}")
    }
}

impl Output<'_> {
    fn write(&self, context: &CallContext, out: &mut Bounded) -> serde_json::Result<()> {
        let (name, datatype, shape) = (self.name, self.tensor.datatype().name(), self.tensor.shape());
        let parameters = self.binary.then(|| BinarySize { binary_data_size: self.tensor.data().len() });
        out.open_object(&OutputHead { name, datatype, shape, parameters })?;
        if !self.binary {
            out.raw(b",\"data\":")?;
            parallel_write::write(context, self.tensor, out)?;
        }
        out.raw(b"}")
    }
}

struct Generated<'a> {
    pipeline: &'a Pipeline,
    answer: &'a InferResponse,
}

impl Serialize for Generated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reply = serializer.serialize_map(None)?;
        if let Some(id) = &self.answer.id {
            reply.serialize_entry("id", id)?;
        }
        reply.serialize_entry("model_name", &*self.pipeline.model)?;
        reply.serialize_entry("model_version", &*self.pipeline.version)?;
        for (name, tensor) in &self.answer.outputs {
            let data = Cell::new(&tensor.data()[..]);
            reply.serialize_entry(&**name, &NestedData::of(tensor, &data))?;
        }
        reply.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(datatype: Datatype, shape: &[u64], data: &[u8], binary: bool) -> Result<(String, usize), EncodeError> {
        let tensor = Tensor::new(datatype, shape.to_vec(), data.to_vec().into()).unwrap();
        let outputs = vec![Output { name: "y", tensor: &tensor, binary }];
        let reply = Reply { model: "m", version: "1", id: Some("7"), outputs: &outputs };
        let encoded = super::encode_outputs(&CallContext::without_cores(), &reply, 200)?;
        assert_eq!(encoded.binary, binary);
        Ok((String::from_utf8(encoded.json.concat()).unwrap(), encoded.tensors.iter().map(Bytes::len).sum()))
    }

    #[test]
    fn writes_what_the_protocol_says() {
        let data: Vec<u8> = [1.0f32, f32::NAN].into_iter().flat_map(f32::to_le_bytes).collect();
        let head =
            r#"{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"#;
        let text = encode(Datatype::Fp32, &[1, 2], &data, false).unwrap();
        assert_eq!(text, (format!("{head}\"data\":[1.0,null]}}]}}"), 0));
        let bytes = encode(Datatype::Fp32, &[1, 2], &data, true).unwrap();
        assert_eq!(bytes, (format!("{head}\"parameters\":{{\"binary_data_size\":8}}}}]}}"), 8));
        assert!(encode(Datatype::Bytes, &[1], b"\x02\0\0\0hi", false).unwrap().0.contains(r#""data":["hi"]"#));
        assert!(encode(Datatype::Uint8, &[0], b"", true).unwrap().0.contains(r#""binary_data_size":0"#));
    }

    #[test]
    fn refuses_what_json_cannot_carry() {
        let bytes = b"\x01\0\0\0\xff";
        assert!(matches!(encode(Datatype::Bytes, &[1], bytes, false), Err(EncodeError::NotText { .. })));
        assert_eq!(encode(Datatype::Bytes, &[1], bytes, true).unwrap().1, 5);
        for (size, binary) in [(200, false), (201, true), (190, true)] {
            let large = encode(Datatype::Uint8, &[size], &vec![9; to_usize(size)], binary);
            assert!(matches!(large, Err(EncodeError::TooLarge { bound: 200 })), "{size}");
        }
    }
}
