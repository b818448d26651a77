//! The writer of tensor elements in TensorFlow Serving's JSON: numbers and strings, and bytes as `{"b64": …}`. It writes
//! the words `NaN`, `Infinity` and `-Infinity`, which are not valid JSON, because its clients expect them.

use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine};
use half::{bf16, f16};
use serde::Serialize;

use crate::codec::json::writer::Bounded;
use crate::tensor::{Datatype, Tensor};

/// Writes `count` values with commas between them.
pub(super) fn separated(
    out: &mut Bounded,
    count: u64,
    mut write: impl FnMut(&mut Bounded) -> io::Result<()>,
) -> io::Result<()> {
    for at in 0..count {
        if at > 0 {
            out.write_all(b", ")?;
        }
        write(out)?;
    }
    Ok(())
}

pub(super) fn json(out: &mut Bounded, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    serde_json::to_writer(out, value).map_err(io::Error::from)
}

/// A cursor over the elements of a tensor that are not written yet.
pub(super) struct ElementWriter<'a> {
    datatype: Datatype,
    rest: &'a [u8],
}

impl<'a> ElementWriter<'a> {
    pub(super) fn of(tensor: &'a Tensor) -> ElementWriter<'a> {
        ElementWriter { datatype: tensor.datatype(), rest: tensor.data() }
    }

    /// Writes the next elements as lists nested by `shape`. With `binary`, elements of BYTES are written as base64.
    pub(super) fn write(&mut self, out: &mut Bounded, shape: &[u64], binary: bool) -> io::Result<()> {
        let Some((size, inner)) = shape.split_first() else { return self.write_next(out, binary) };
        out.write_all(b"[")?;
        separated(out, *size, |out| self.write(out, inner, binary))?;
        out.write_all(b"]")
    }

    pub(super) fn write_next(&mut self, out: &mut Bounded, binary: bool) -> io::Result<()> {
        match self.datatype {
            Datatype::Bool => json(out, &(self.take() != [0])),
            Datatype::Uint8 => json(out, &u8::from_le_bytes(self.take())),
            Datatype::Uint16 => json(out, &u16::from_le_bytes(self.take())),
            Datatype::Uint32 => json(out, &u32::from_le_bytes(self.take())),
            Datatype::Uint64 => json(out, &u64::from_le_bytes(self.take())),
            Datatype::Int8 => json(out, &i8::from_le_bytes(self.take())),
            Datatype::Int16 => json(out, &i16::from_le_bytes(self.take())),
            Datatype::Int32 => json(out, &i32::from_le_bytes(self.take())),
            Datatype::Int64 => json(out, &i64::from_le_bytes(self.take())),
            Datatype::Fp16 => single(out, f16::from_le_bytes(self.take()).to_f32()),
            Datatype::Bf16 => single(out, bf16::from_le_bytes(self.take()).to_f32()),
            Datatype::Fp32 => single(out, f32::from_le_bytes(self.take())),
            Datatype::Fp64 => double(out, f64::from_le_bytes(self.take())),
            Datatype::Bytes => {
                let length = u32::from_le_bytes(self.take()) as usize;
                let (text, rest) = self.rest.split_at_checked(length).unwrap_or_default();
                self.rest = rest;
                write_text(out, text, binary)
            }
        }
    }

    /// The next element's bytes. A tensor always has as many bytes as its shape needs; zeros would stand for missing ones.
    fn take<const WIDTH: usize>(&mut self) -> [u8; WIDTH] {
        let Some((element, rest)) = self.rest.split_first_chunk() else { return [0; WIDTH] };
        self.rest = rest;
        *element
    }
}

fn write_text(out: &mut Bounded, text: &[u8], binary: bool) -> io::Result<()> {
    match std::str::from_utf8(text) {
        Ok(text) if !binary => json(out, text),
        _ => {
            out.write_all(b"{\"b64\": \"")?;
            // Encoding in pieces checks the bound of the reply before much is encoded. The size of a piece is a multiple of
            // three bytes, which become four letters, so that no padding stands between pieces.
            for piece in text.chunks(3 << 10) {
                out.write_all(BASE64_STANDARD.encode(piece).as_bytes())?;
            }
            out.write_all(b"\"}")
        }
    }
}

fn single(out: &mut Bounded, value: f32) -> io::Result<()> {
    if value.is_finite() { json(out, &value) } else { not_finite(out, value.is_nan(), value < 0.0) }
}

fn double(out: &mut Bounded, value: f64) -> io::Result<()> {
    if value.is_finite() { json(out, &value) } else { not_finite(out, value.is_nan(), value < 0.0) }
}

fn not_finite(out: &mut Bounded, nan: bool, negative: bool) -> io::Result<()> {
    out.write_all(match (nan, negative) {
        (true, _) => b"NaN",
        (false, false) => b"Infinity",
        (false, true) => b"-Infinity",
    })
}
