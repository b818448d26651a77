//! Replies.

use std::io::{self, Write};

use bytes::Bytes;
use half::{bf16, f16};
use serde::Serialize;
use serde::ser::{Error, SerializeMap, Serializer};

use super::super::call::Answer;
use super::large;
use crate::pipeline::Pipeline;
use crate::tensor::{self, Datatype, Tensor};

/// The result cannot be sent as JSON.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("the reply has more than {bound} (http.reply-bytes); ask for fewer outputs, or send less at once", bound = crate::config::format_bytes(*.bound))]
    TooLarge { bound: u64 },
    #[error(
        "output \"{output}\" holds bytes that are not UTF-8, and JSON can only carry text; ask for it as bytes, with its parameter binary_data=true"
    )]
    NotText { output: String },
    #[error("{why}")]
    Form { why: String },
    #[error("{0}")]
    Json(serde_json::Error),
}

/// A reply: JSON, in several pieces where it is large, and after it the bytes of those outputs that are wanted so, where
/// they lie.
#[derive(Debug)]
pub struct Encoded {
    pub json: Vec<Bytes>,
    pub tensors: Vec<Bytes>,
    /// Whether any output is wanted as bytes, be it of none.
    pub binary: bool,
}

/// The reply to an inference request. A NaN or an infinity, which JSON does not have, becomes `null` in it.
pub fn encode(pipeline: &Pipeline, answer: &Answer, bound: u64) -> Result<Encoded, EncodeError> {
    encode_as(&pipeline.model, &pipeline.version, answer, bound)
}

/// The same, of a model that is only known by its name.
pub fn encode_as(model: &str, version: &str, answer: &Answer, bound: u64) -> Result<Encoded, EncodeError> {
    let outputs = outputs(answer);
    encode_outputs(&Reply { model, version, id: answer.id.as_deref(), outputs: &outputs }, bound)
}

/// The reply to a request of the plainer form: each output under its name, one element without an array around it.
pub fn encode_generated(pipeline: &Pipeline, answer: &Answer, bound: u64) -> Result<Encoded, EncodeError> {
    if let Some((name, _)) = answer.outputs.iter().find(|(_, tensor)| !is_text(tensor)) {
        return Err(EncodeError::NotText { output: name.to_string() });
    }
    let generated = Generated { pipeline, answer };
    let json = write_json(bound as usize, bound, |out| serde_json::to_writer(out, &generated))?;
    Ok(Encoded { json, tensors: Vec::new(), binary: false })
}

fn encode_outputs(reply: &Reply, bound: u64) -> Result<Encoded, EncodeError> {
    let outputs = reply.outputs;
    for output in outputs.iter().filter(|output| !output.binary) {
        if !is_text(output.tensor) {
            return Err(EncodeError::NotText { output: output.name.to_owned() });
        }
    }
    let binary: Vec<&Tensor> = outputs.iter().filter(|output| output.binary).map(|output| output.tensor).collect();
    let bytes: usize = binary.iter().map(|tensor| tensor.data().len()).sum();
    let room = (bound as usize).checked_sub(bytes).ok_or(EncodeError::TooLarge { bound })?;
    let tensors = binary.iter().map(|tensor| tensor.data().clone()).filter(|data| !data.is_empty()).collect();
    let json = write_json(room, bound, |out| reply.write(out))?;
    Ok(Encoded { json, tensors, binary: !binary.is_empty() })
}

fn outputs(answer: &Answer) -> Vec<Output<'_>> {
    let outputs = answer.outputs.iter().zip(&answer.binary);
    outputs.map(|((name, tensor), binary)| Output { name, tensor, binary: *binary }).collect()
}

fn is_text(tensor: &Tensor) -> bool {
    tensor.datatype() != Datatype::Bytes || tensor.byte_strings().all(|text| std::str::from_utf8(text).is_ok())
}

/// Within `room`, which is what is left of the `bound` of the whole reply.
fn write_json(
    room: usize,
    bound: u64,
    write: impl FnOnce(&mut Bounded) -> serde_json::Result<()>,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut body = Bounded::new(room);
    match write(&mut body) {
        Ok(()) => Ok(body.into_pieces()),
        Err(error) if error.is_io() => Err(EncodeError::TooLarge { bound }),
        Err(error) => Err(EncodeError::Json(error)),
    }
}

/// What is sent, without the bytes that follow.
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
    /// Objects are left open for what comes last in them.
    fn write(&self, out: &mut Bounded) -> serde_json::Result<()> {
        let Reply { model, version, id, outputs } = *self;
        out.open_object(&ReplyHead { model_name: model, model_version: version, id })?;
        out.raw(b",\"outputs\":[")?;
        for (at, output) in outputs.iter().enumerate() {
            if at > 0 {
                out.raw(b",")?;
            }
            output.write(out)?;
        }
        out.raw(b"]}")
    }
}

impl Output<'_> {
    fn write(&self, out: &mut Bounded) -> serde_json::Result<()> {
        let (name, datatype, shape) = (self.name, self.tensor.datatype().name(), self.tensor.shape());
        let parameters = self.binary.then(|| BinarySize { binary_data_size: self.tensor.data().len() });
        out.open_object(&OutputHead { name, datatype, shape, parameters })?;
        if !self.binary {
            out.raw(b",\"data\":")?;
            large::write(self.tensor, out)?;
        }
        out.raw(b"}")
    }
}

struct Generated<'a> {
    pipeline: &'a Pipeline,
    answer: &'a Answer,
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
            reply.serialize_entry(&**name, &Data { tensor, bare: true })?;
        }
        reply.end()
    }
}

/// The elements, flat; an only one bare, where that is wanted.
pub(super) struct Data<'a> {
    pub tensor: &'a Tensor,
    pub bare: bool,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = self.tensor.data();
        let bare = self.bare && tensor::element_count(self.tensor.shape()) == Ok(1);
        match self.tensor.datatype() {
            Datatype::Bool => sequence(serializer, bare, data.iter().map(|byte| *byte != 0)),
            Datatype::Uint8 => sequence(serializer, bare, data.iter()),
            Datatype::Uint16 => sequence(serializer, bare, numbers(data).map(u16::from_le_bytes)),
            Datatype::Uint32 => sequence(serializer, bare, numbers(data).map(u32::from_le_bytes)),
            Datatype::Uint64 => sequence(serializer, bare, numbers(data).map(u64::from_le_bytes)),
            Datatype::Int8 => sequence(serializer, bare, numbers(data).map(i8::from_le_bytes)),
            Datatype::Int16 => sequence(serializer, bare, numbers(data).map(i16::from_le_bytes)),
            Datatype::Int32 => sequence(serializer, bare, numbers(data).map(i32::from_le_bytes)),
            Datatype::Int64 => sequence(serializer, bare, numbers(data).map(i64::from_le_bytes)),
            Datatype::Fp16 => sequence(serializer, bare, numbers(data).map(|b| f16::from_le_bytes(b).to_f32())),
            Datatype::Bf16 => sequence(serializer, bare, numbers(data).map(|b| bf16::from_le_bytes(b).to_f32())),
            Datatype::Fp32 => sequence(serializer, bare, numbers(data).map(f32::from_le_bytes)),
            Datatype::Fp64 => sequence(serializer, bare, numbers(data).map(f64::from_le_bytes)),
            Datatype::Bytes => sequence(serializer, bare, self.tensor.byte_strings().map(Text)),
        }
    }
}

struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        std::str::from_utf8(self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

fn sequence<S: Serializer, T: Serialize>(
    serializer: S,
    bare: bool,
    mut elements: impl Iterator<Item = T>,
) -> Result<S::Ok, S::Error> {
    match elements.next() {
        Some(only) if bare => only.serialize(serializer),
        first => serializer.collect_seq(first.into_iter().chain(elements)),
    }
}

/// The bytes of each element. A tensor's length is a multiple of its element's width.
fn numbers<const WIDTH: usize>(data: &[u8]) -> impl Iterator<Item = [u8; WIDTH]> {
    data.as_chunks::<WIDTH>().0.iter().copied()
}

/// As long as most replies without a large tensor.
const SMALL: usize = 512;

/// What is written, in pieces that are never copied into one. It refuses to grow beyond its bound.
pub struct Bounded {
    pieces: Vec<Bytes>,
    /// The last piece.
    bytes: Vec<u8>,
    /// How much more may be written.
    room: usize,
}

impl Bounded {
    pub fn new(bound: usize) -> Bounded {
        Bounded { pieces: Vec::new(), bytes: Vec::with_capacity(bound.min(SMALL)), room: bound }
    }

    pub fn into_pieces(mut self) -> Vec<Bytes> {
        self.pieces.push(self.bytes.into());
        self.pieces
    }

    /// Written elsewhere.
    pub(super) fn piece(&mut self, piece: Bytes) -> serde_json::Result<()> {
        self.take_room(piece.len()).map_err(serde_json::Error::io)?;
        if !self.bytes.is_empty() {
            self.pieces.push(std::mem::take(&mut self.bytes).into());
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Room for a tensor that becomes about so long.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes.min(self.room));
    }

    #[inline]
    fn take_room(&mut self, bytes: usize) -> io::Result<()> {
        self.room = self.room.checked_sub(bytes).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(())
    }

    pub(super) fn raw(&mut self, json: &[u8]) -> serde_json::Result<()> {
        self.write_all(json).map_err(serde_json::Error::io)
    }

    /// An object with these fields, to which more may be added before it is closed.
    fn open_object(&mut self, fields: &impl Serialize) -> serde_json::Result<()> {
        serde_json::to_writer(&mut *self, fields)?;
        self.bytes.pop();
        self.room += 1;
        Ok(())
    }
}

impl Write for Bounded {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take_room(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Of a large tensor called twice for each element: without the loop that stands here otherwise.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(datatype: Datatype, shape: &[u64], data: &[u8], binary: bool) -> Result<(String, usize), EncodeError> {
        let tensor = Tensor::new(datatype, shape.to_vec(), data.to_vec().into()).unwrap();
        let outputs = vec![Output { name: "y", tensor: &tensor, binary }];
        let encoded =
            super::encode_outputs(&Reply { model: "m", version: "1", id: Some("7"), outputs: &outputs }, 200)?;
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
            let large = encode(Datatype::Uint8, &[size], &vec![9; size as usize], binary);
            assert!(matches!(large, Err(EncodeError::TooLarge { bound: 200 })), "{size}");
        }
    }
}
