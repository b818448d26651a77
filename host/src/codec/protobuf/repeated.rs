//! The reader of a tensor's elements from a repeated field, which it writes as the tensor's bytes. The Open Inference
//! Protocol and TensorFlow put a datatype into different fields, but encode its elements in the same few ways.

use bytes::Bytes;

use super::fields::{Field, Malformed};
use crate::numbers::to_usize;
use crate::tensor::{Datatype, push_byte_string};

/// Collects the elements of one list into the bytes of a tensor.
pub struct RepeatedElements {
    datatype: Datatype,
    /// Number of elements that the shape has.
    count: u64,
    found: u64,
    bytes: Vec<u8>,
    /// A packed list of fixed width, whose bytes are those of the tensor: as long as it is the only one, it is not copied.
    whole: Option<Bytes>,
    /// Offset in `bytes` of the last element of BYTES.
    last_text: usize,
}

/// A repeated field that does not hold the elements of its tensor.
#[derive(Debug, thiserror::Error)]
pub enum ElementError {
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("the shape has {count} elements, and the contents hold more")]
    TooMany { count: u64 },
    #[error("the shape has {count} elements, and the contents hold {found}")]
    TooFew { count: u64, found: u64 },
    #[error("{datatype} has no typed list in contents: send it in raw_input_contents")]
    OnlyRaw { datatype: Datatype },
    #[error("elements of {datatype} belong in {name}, and another list was sent")]
    OtherList { datatype: Datatype, name: &'static str },
    #[error("element {at} is {value}, and does not fit {datatype}")]
    Range { at: u64, value: i64, datatype: Datatype },
}

impl RepeatedElements {
    pub fn new(datatype: Datatype, count: u64) -> RepeatedElements {
        RepeatedElements { datatype, count, found: 0, bytes: Vec::new(), whole: None, last_text: 0 }
    }

    pub fn take(&mut self, field: Field) -> Result<(), ElementError> {
        match self.datatype {
            Datatype::Fp32 => self.fixed(field.fixed(4)?, 4),
            Datatype::Fp64 => self.fixed(field.fixed(8)?, 8),
            Datatype::Bytes => self.byte_string(&field.bytes()?),
            _ => self.integers(field),
        }
    }

    /// The tensor's bytes; an error if elements are missing.
    pub fn finish(self) -> Result<Bytes, ElementError> {
        if self.found < self.count {
            return Err(ElementError::TooFew { count: self.count, found: self.found });
        }
        Ok(self.whole.unwrap_or(self.bytes.into()))
    }

    /// The tensor's bytes, where the last element is repeated for those that are missing, and an empty list becomes zeros
    /// or empty strings, as TensorFlow defines it.
    pub fn finish_repeating_last(mut self) -> Bytes {
        if self.found == self.count {
            return self.whole.unwrap_or(self.bytes.into());
        }
        self.own();
        let element = self.last();
        self.bytes.reserve(element.len().saturating_mul(to_usize(self.count - self.found)));
        for _ in self.found..self.count {
            self.bytes.extend_from_slice(&element);
        }
        self.bytes.into()
    }

    /// Bytes that [`Self::finish_repeating_last`] adds.
    pub fn repeated_size(&self) -> u64 {
        if self.found == self.count {
            return 0;
        }
        let each = self.datatype.width().unwrap_or_else(|| self.last().len() as u64);
        each.saturating_mul(self.count - self.found)
    }

    /// The bytes of the last element, or of a zero if there is none. The list must be in `bytes`: `own` moves it there, and
    /// a list of BYTES is never elsewhere. So an element that was found has its `width` bytes, and `last_text` its begin.
    fn last(&self) -> Vec<u8> {
        // An empty element of BYTES is only its length, four bytes.
        let width = to_usize(self.datatype.width().unwrap_or(4));
        if self.found == 0 {
            return vec![0; width];
        }
        let at = if self.datatype.width().is_some() { self.bytes.len() - width } else { self.last_text };
        self.bytes[at..].to_vec()
    }

    fn own(&mut self) {
        if let Some(whole) = self.whole.take() {
            self.bytes = whole.into();
        }
    }

    fn fixed(&mut self, list: Bytes, width: usize) -> Result<(), ElementError> {
        let more = (list.len() / width) as u64;
        if more > self.count - self.found {
            return Err(ElementError::TooMany { count: self.count });
        }
        if self.found == 0 {
            self.whole = Some(list);
        } else {
            self.own();
            self.bytes.extend_from_slice(&list);
        }
        self.found += more;
        Ok(())
    }

    fn byte_string(&mut self, value: &[u8]) -> Result<(), ElementError> {
        if self.found == self.count {
            return Err(ElementError::TooMany { count: self.count });
        }
        self.last_text = self.bytes.len();
        push_byte_string(&mut self.bytes, value);
        self.found += 1;
        Ok(())
    }

    fn integers(&mut self, field: Field) -> Result<(), ElementError> {
        let mut wrong = None;
        field.varints(|value| {
            wrong = self.integer(value).err();
            wrong.is_none()
        })?;
        wrong.map_or(Ok(()), Err)
    }

    fn integer(&mut self, value: u64) -> Result<(), ElementError> {
        if self.found == self.count {
            return Err(ElementError::TooMany { count: self.count });
        }
        // Negative numbers arrive as 64-bit two's complement, whatever their type.
        let signed = value.cast_signed();
        let written = match self.datatype {
            Datatype::Bool => push(&mut self.bytes, [u8::from(value != 0)]),
            Datatype::Int8 => write(&mut self.bytes, i8::try_from(signed), i8::to_le_bytes),
            Datatype::Int16 => write(&mut self.bytes, i16::try_from(signed), i16::to_le_bytes),
            Datatype::Int32 => write(&mut self.bytes, i32::try_from(signed), i32::to_le_bytes),
            Datatype::Uint8 => write(&mut self.bytes, u8::try_from(value), u8::to_le_bytes),
            // Half-precision floats arrive as their 16 bits.
            Datatype::Uint16 | Datatype::Fp16 | Datatype::Bf16 => {
                write(&mut self.bytes, u16::try_from(value), u16::to_le_bytes)
            }
            Datatype::Uint32 => write(&mut self.bytes, u32::try_from(value), u32::to_le_bytes),
            _ => push(&mut self.bytes, value.to_le_bytes()),
        };
        if !written {
            return Err(ElementError::Range { at: self.found, value: signed, datatype: self.datatype });
        }
        self.found += 1;
        Ok(())
    }
}

fn push<const WIDTH: usize>(bytes: &mut Vec<u8>, value: [u8; WIDTH]) -> bool {
    bytes.extend_from_slice(&value);
    true
}

fn write<T, E, const WIDTH: usize>(
    bytes: &mut Vec<u8>,
    value: Result<T, E>,
    to_bytes: impl Fn(T) -> [u8; WIDTH],
) -> bool {
    value.is_ok_and(|value| push(bytes, to_bytes(value)))
}
