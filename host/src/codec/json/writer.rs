//! The writer of JSON replies: the elements of tensors, within a bound on the size of the reply.

use std::cell::Cell;
use std::io;
use std::io::Write;

use bulkhead_tensor::{ByteStrings, match_datatype};
use bytes::Bytes;
use serde::Serialize;
use serde::ser::{Error, Serializer};

use crate::numbers::to_usize;
use crate::tensor::{self, Datatype, Tensor};

/// The body of a reply: JSON, in several pieces where it is large, and then the data of the outputs that were requested as
/// bytes, which is shared with their tensors and not copied.
#[derive(Debug)]
pub struct Encoded {
    pub json: Vec<Bytes>,
    pub tensors: Vec<Bytes>,
    /// True if any output was requested as bytes, even an empty one.
    pub binary: bool,
}

/// The elements of a tensor as a flat JSON array.
pub(crate) struct Data<'a> {
    pub tensor: &'a Tensor,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Elements { datatype: self.tensor.datatype(), data: self.tensor.data(), bare: false }.serialize(serializer)
    }
}

/// The elements of a tensor in lists that are nested as its shape is; a single element is written without lists.
pub(crate) struct NestedData<'a> {
    datatype: Datatype,
    shape: &'a [u64],
    /// The data of the elements that are not written yet.
    rest: &'a Cell<&'a [u8]>,
}

impl<'a> NestedData<'a> {
    /// `rest` holds the tensor's data.
    pub(crate) fn of(tensor: &'a Tensor, rest: &'a Cell<&'a [u8]>) -> NestedData<'a> {
        let single = tensor::element_count(tensor.shape()) == Ok(1);
        NestedData { datatype: tensor.datatype(), shape: if single { &[] } else { tensor.shape() }, rest }
    }

    /// The data of the next `count` elements, which the tensor has by its shape.
    fn take(&self, count: u64) -> &'a [u8] {
        let rest = self.rest.get();
        let length = match self.datatype.width() {
            Some(width) => to_usize(count.saturating_mul(width)),
            None => ByteStrings::new(rest).take(to_usize(count)).map(|text| text.len() + size_of::<u32>()).sum(),
        };
        let (taken, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        self.rest.set(rest);
        taken
    }
}

impl Serialize for NestedData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let NestedData { datatype, rest, .. } = *self;
        let elements = |count, bare| Elements { datatype, data: self.take(count), bare };
        match *self.shape {
            [] => elements(1, true).serialize(serializer),
            [count] => elements(count, false).serialize(serializer),
            [size, ref shape @ ..] => serializer.collect_seq((0..size).map(|_| NestedData { datatype, shape, rest })),
        }
    }
}

/// Elements as a list, or with `bare` the only one without it.
struct Elements<'a> {
    datatype: Datatype,
    data: &'a [u8],
    bare: bool,
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Elements { datatype, data, bare } = *self;
        match_datatype!(datatype, {
            boolean => sequence(serializer, bare, data.iter().map(|byte| *byte != 0)),
            integer T => sequence(serializer, bare, numbers(data).map(T::from_le_bytes)),
            half T => sequence(serializer, bare, numbers(data).map(|bytes| T::from_le_bytes(bytes).to_f32())),
            float T => sequence(serializer, bare, numbers(data).map(T::from_le_bytes)),
            bytes => sequence(serializer, bare, ByteStrings::new(data).map(Text)),
        })
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

/// The bytes of each element. The length of a tensor's data is always a multiple of the width.
fn numbers<const WIDTH: usize>(data: &[u8]) -> impl Iterator<Item = [u8; WIDTH]> {
    data.as_chunks::<WIDTH>().0.iter().copied()
}

/// Initial capacity in bytes, which is enough for most replies without a large tensor.
const SMALL: usize = 512;

/// A writer with a bound on its size, beyond which writing fails with [`io::ErrorKind::FileTooLarge`]. Its pieces are never
/// copied into one buffer.
pub struct Bounded {
    pieces: Vec<Bytes>,
    /// The last piece.
    bytes: Vec<u8>,
    /// Bytes that may still be written.
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

    /// Appends a piece that was written elsewhere, without copying it.
    pub(crate) fn piece(&mut self, piece: Bytes) -> serde_json::Result<()> {
        self.take_room(piece.len()).map_err(serde_json::Error::io)?;
        if !self.bytes.is_empty() {
            self.pieces.push(std::mem::take(&mut self.bytes).into());
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Reserves memory for a tensor whose JSON takes about `bytes` bytes, but not beyond the bound.
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

    /// Writes an object with these fields, without its closing brace, so that the caller can add more fields.
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

    /// A single `write`, which always takes all bytes. The loop of the default method would cost time, because this is
    /// called twice for each element of a large tensor.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
