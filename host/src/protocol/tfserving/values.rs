//! The writer of tensor elements in TensorFlow Serving's JSON: numbers and strings, and bytes as `{"b64": …}`. It writes
//! the words `NaN`, `Infinity` and `-Infinity`, which are not valid JSON, because its clients expect them.

use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine};
use bulkhead_tensor::match_datatype;
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
        match_datatype!(self.datatype, {
            boolean => json(out, &(self.take() != [0])),
            integer T => json(out, &T::from_le_bytes(self.take())),
            half T => number(out, T::from_le_bytes(self.take()).to_f32()),
            float T => number(out, T::from_le_bytes(self.take())),
            bytes => {
                let length = u32::from_le_bytes(self.take()) as usize;
                let (text, rest) = self.rest.split_at_checked(length).unwrap_or_default();
                self.rest = rest;
                write_text(out, text, binary)
            },
        })
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

fn number(out: &mut Bounded, value: impl Into<f64> + Serialize + Copy) -> io::Result<()> {
    let wide: f64 = value.into();
    if wide.is_finite() { json(out, &value) } else { not_finite(out, wide.is_nan(), wide < 0.0) }
}

fn not_finite(out: &mut Bounded, nan: bool, negative: bool) -> io::Result<()> {
    out.write_all(match (nan, negative) {
        (true, _) => b"NaN",
        (false, false) => b"Infinity",
        (false, true) => b"-Infinity",
    })
}
