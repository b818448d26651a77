//! A reader of protobuf messages field by field, for messages that carry tensors, whose elements are read on a compute
//! thread. Long fields are slices of the bytes that arrived, the number of fields is bounded, and an empty field allocates
//! nothing.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};

use crate::numbers::to_usize;

/// A message as the bytes that arrived, not parsed yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawMessage(pub Bytes);

impl prost::Message for RawMessage {
    fn decode(mut buffer: impl Buf) -> Result<Self, prost::DecodeError> {
        Ok(RawMessage(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn merge(&mut self, buffer: impl Buf) -> Result<(), prost::DecodeError> {
        *self = Self::decode(buffer)?;
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        encoding::skip_field(wire_type, tag, buffer, context)
    }

    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Bytes that are not a valid message of the expected type.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("{0}")]
    Wire(#[from] prost::DecodeError),
    #[error("the message ends before the {announced} bytes of a field are complete")]
    Torn { announced: u64 },
    #[error("field {field} has the wrong wire type")]
    Type { field: u32 },
    #[error("field {field} is not UTF-8")]
    Text { field: u32 },
    #[error("a message has more than {bound} fields")]
    TooMany { bound: usize },
    #[error("groups are not supported")]
    Group,
}

/// An iterator over the fields of a message, in their order, at most `bound` of them.
pub struct Fields {
    rest: Bytes,
    left: usize,
    bound: usize,
}

/// A field with its number.
pub struct Field {
    pub number: u32,
    value: Value,
}

enum Value {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(Bytes),
}

/// Bound on the fields of a message whose lists are not bounded by a shape; no valid message has as many.
pub const MAX_FIELDS: usize = 4096;

impl Fields {
    pub fn of(message: Bytes) -> Fields {
        Fields::at_most(MAX_FIELDS, message)
    }

    pub fn at_most(bound: usize, message: Bytes) -> Fields {
        Fields { rest: message, left: bound, bound }
    }

    pub fn next_field(&mut self) -> Result<Option<Field>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.left = self.left.checked_sub(1).ok_or(Malformed::TooMany { bound: self.bound })?;
        let (number, wire_type) = encoding::decode_key(&mut self.rest)?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(encoding::decode_varint(&mut self.rest)?),
            WireType::ThirtyTwoBit => Value::Fixed32(self.fixed()?),
            WireType::SixtyFourBit => Value::Fixed64(self.fixed()?),
            WireType::LengthDelimited => {
                let announced = encoding::decode_varint(&mut self.rest)?;
                if announced > self.rest.len() as u64 {
                    return Err(Malformed::Torn { announced });
                }
                Value::Bytes(self.rest.split_to(to_usize(announced)))
            }
            WireType::StartGroup | WireType::EndGroup => return Err(Malformed::Group),
        };
        Ok(Some(Field { number, value }))
    }

    fn fixed<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], Malformed> {
        let torn = Malformed::Torn { announced: WIDTH as u64 };
        let bytes = *self.rest.first_chunk::<WIDTH>().ok_or(torn)?;
        self.rest.advance(WIDTH);
        Ok(bytes)
    }
}

impl Field {
    fn wrong(&self) -> Malformed {
        Malformed::Type { field: self.number }
    }

    pub fn bytes(self) -> Result<Bytes, Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong()),
        }
    }

    pub fn text(self) -> Result<String, Malformed> {
        let field = self.number;
        String::from_utf8(self.bytes()?.into()).map_err(|_| Malformed::Text { field })
    }

    pub fn varint(self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    pub fn double(self) -> Result<f64, Malformed> {
        match self.value {
            Value::Fixed64(bytes) => Ok(f64::from_le_bytes(bytes)),
            _ => Err(self.wrong()),
        }
    }

    /// Reads one varint or a packed list of them. `take` is called with each; `false` from it ends the reading.
    pub fn varints(self, mut take: impl FnMut(u64) -> bool) -> Result<(), Malformed> {
        match self.value {
            Value::Varint(value) => {
                take(value);
            }
            Value::Bytes(mut list) => while !list.is_empty() && take(encoding::decode_varint(&mut list)?) {},
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    /// The little-endian bytes of one number of `width` bytes, or of a packed list of such numbers.
    pub fn fixed(self, width: usize) -> Result<Bytes, Malformed> {
        match self.value {
            Value::Bytes(list) if list.len().is_multiple_of(width) => Ok(list),
            Value::Fixed32(bytes) if width == 4 => Ok(Bytes::copy_from_slice(&bytes)),
            Value::Fixed64(bytes) if width == 8 => Ok(Bytes::copy_from_slice(&bytes)),
            _ => Err(self.wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &'static [u8]) -> Result<Vec<u32>, Malformed> {
        let mut fields = Fields::at_most(3, Bytes::from_static(message));
        let mut numbers = Vec::new();
        while let Some(field) = fields.next_field()? {
            numbers.push(field.number);
        }
        Ok(numbers)
    }

    #[test]
    fn fields_are_found_and_bounded() {
        assert_eq!(read(b"").unwrap(), [0u32; 0]);
        assert_eq!(read(b"\x08\x01\x12\x02hi\x1d\0\0\0\0").unwrap(), [1, 2, 3]);
        for (message, wanted) in [
            (&b"\x12\x05hi"[..], "before the 5 bytes"),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "before the 18446744073709551615 bytes"),
            (b"\x1d\0", "before the 4 bytes"),
            (b"\x0b\x0c", "groups"),
            (b"\x12\0\x12\0\x12\0\x12\0", "more than 3 fields"),
            (b"\x08\xff", "varint"),
        ] {
            let error = read(message).unwrap_err().to_string();
            assert!(error.contains(wanted), "{message:?}: {error}");
        }
    }

    #[test]
    fn a_list_may_be_packed_or_not() {
        for message in [&b"\x0a\x03\x01\x96\x01"[..], b"\x08\x01\x08\x96\x01"] {
            let mut fields = Fields::of(Bytes::from_static(message));
            let mut numbers = Vec::new();
            while let Some(field) = fields.next_field().unwrap() {
                field
                    .varints(|number| {
                        numbers.push(number);
                        true
                    })
                    .unwrap();
            }
            assert_eq!(numbers, [1, 150]);
        }
    }
}
