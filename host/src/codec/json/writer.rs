//! Writes the elements of tensors as JSON, within a bound.

use std::io;
use std::io::Write;

use bytes::Bytes;
use half::{bf16, f16};
use serde::Serialize;
use serde::ser::{Error, Serializer};

use crate::tensor::{self, Datatype, Tensor};

/// A reply: JSON, in several pieces where it is large, and after it the bytes of those outputs that are wanted so, where
/// they lie.
#[derive(Debug)]
pub struct Encoded {
    pub json: Vec<Bytes>,
    pub tensors: Vec<Bytes>,
    /// Whether any output is wanted as bytes, be it of none.
    pub binary: bool,
}

/// The elements, flat; an only one bare, where that is wanted.
pub(crate) struct Data<'a> {
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
    pub(crate) fn piece(&mut self, piece: Bytes) -> serde_json::Result<()> {
        self.take_room(piece.len()).map_err(serde_json::Error::io)?;
        if !self.bytes.is_empty() {
            self.pieces.push(std::mem::take(&mut self.bytes).into());
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Room for a tensor that becomes about so long.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes.min(self.room));
    }

    #[inline]
    fn take_room(&mut self, bytes: usize) -> io::Result<()> {
        self.room = self.room.checked_sub(bytes).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(())
    }

    pub(crate) fn raw(&mut self, json: &[u8]) -> serde_json::Result<()> {
        self.write_all(json).map_err(serde_json::Error::io)
    }

    /// An object with these fields, to which more may be added before it is closed.
    pub fn open_object(&mut self, fields: &impl Serialize) -> serde_json::Result<()> {
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
