//! The `data` of a tensor: flat or nested arrays of numbers, booleans or texts, written as the tensor's bytes while they
//! are read.

use std::borrow::Cow;
use std::fmt;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use half::{bf16, f16};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::tensor::{Datatype, push_byte_string};

/// The bytes of the elements, and how many there are: `count`, where that is known before. An error says which element is
/// wrong and why.
pub fn parse(datatype: Datatype, count: Option<u64>, json: &str) -> Result<(Vec<u8>, u64), String> {
    // An element takes two characters at least, so a count beyond that can be refused before anything is allocated.
    if let Some(count) = count.filter(|count| *count > json.len() as u64) {
        return Err(format!("the shape has {count} elements, and the data holds fewer"));
    }
    match datatype {
        Datatype::Bool => read::<Bools>(count, json),
        Datatype::Uint8 => read::<Integers<u8>>(count, json),
        Datatype::Uint16 => read::<Integers<u16>>(count, json),
        Datatype::Uint32 => read::<Integers<u32>>(count, json),
        Datatype::Uint64 => read::<Integers<u64>>(count, json),
        Datatype::Int8 => read::<Integers<i8>>(count, json),
        Datatype::Int16 => read::<Integers<i16>>(count, json),
        Datatype::Int32 => read::<Integers<i32>>(count, json),
        Datatype::Int64 => read::<Integers<i64>>(count, json),
        Datatype::Fp16 => read::<Floats<f16>>(count, json),
        Datatype::Bf16 => read::<Floats<bf16>>(count, json),
        Datatype::Fp32 => read::<Floats<f32>>(count, json),
        Datatype::Fp64 => read::<Floats<f64>>(count, json),
        Datatype::Bytes => read::<Texts>(count, json),
    }
}

/// The same, where an object `{"b64": "…"}` may stand for an element of BYTES.
pub fn parse_with_base64(datatype: Datatype, count: u64, json: &str) -> Result<Vec<u8>, String> {
    let parsed = match datatype {
        Datatype::Bytes => read::<TextsOrBase64>(Some(count), json),
        _ => parse(datatype, Some(count), json),
    };
    parsed.map(|(bytes, _)| bytes)
}

fn read<K: Kind>(count: Option<u64>, json: &str) -> Result<(Vec<u8>, u64), String> {
    let room = count.unwrap_or_default() as usize * K::WIDTH;
    let mut sink = Sink { bytes: Vec::with_capacity(room), found: 0, count };
    let mut json = serde_json::Deserializer::from_str(json);
    let elements = Elements { sink: &mut sink, kind: std::marker::PhantomData::<K> };
    elements.deserialize(&mut json).map_err(|error| error.to_string())?;
    match count {
        Some(count) if sink.found < count => {
            Err(format!("the shape has {count} elements, and the data holds {}", sink.found))
        }
        _ => Ok((sink.bytes, sink.found)),
    }
}

/// How one element of a datatype is written; the default is that JSON of that sort is not for it.
trait Kind {
    const WIDTH: usize;
    const WANTED: &'static str;

    /// Whether an object may stand for bytes.
    const BASE64: bool = false;

    fn integer(_: i128, _: &mut Vec<u8>) -> Result<(), Wrong> {
        Err(Wrong)
    }

    fn number(_: f64, _: &mut Vec<u8>) -> Result<(), Wrong> {
        Err(Wrong)
    }

    fn boolean(_: bool, _: &mut Vec<u8>) -> Result<(), Wrong> {
        Err(Wrong)
    }

    fn text(_: &str, _: &mut Vec<u8>) -> Result<(), Wrong> {
        Err(Wrong)
    }
}

struct Wrong;

struct Bools;

impl Kind for Bools {
    const WIDTH: usize = 1;
    const WANTED: &'static str = "true or false";

    fn boolean(value: bool, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
        bytes.push(value.into());
        Ok(())
    }

    fn integer(value: i128, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
        match value {
            0 | 1 => Self::boolean(value == 1, bytes),
            _ => Err(Wrong),
        }
    }
}

struct Integers<T>(T);

macro_rules! integers {
    ($($rust:ty: $wanted:literal),*) => {$(
        impl Kind for Integers<$rust> {
            const WIDTH: usize = size_of::<$rust>();
            const WANTED: &'static str = $wanted;

            fn integer(value: i128, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
                let value = <$rust>::try_from(value).map_err(|_| Wrong)?;
                bytes.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
        }
    )*};
}

integers!(
    u8: "a whole number from 0 to 255",
    u16: "a whole number from 0 to 65535",
    u32: "a whole number from 0 to 2^32 - 1",
    u64: "a whole number from 0 to 2^64 - 1",
    i8: "a whole number from -128 to 127",
    i16: "a whole number from -32768 to 32767",
    i32: "a whole number from -2^31 to 2^31 - 1",
    i64: "a whole number from -2^63 to 2^63 - 1"
);

struct Floats<T>(T);

macro_rules! floats {
    ($($rust:ty: $from:path),*) => {$(
        impl Kind for Floats<$rust> {
            const WIDTH: usize = size_of::<$rust>();
            const WANTED: &'static str = concat!("a number within the range of ", stringify!($rust));

            fn number(value: f64, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
                let value: $rust = $from(value);
                if !value.is_finite() {
                    return Err(Wrong);
                }
                bytes.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }

            fn integer(value: i128, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
                Self::number(value as f64, bytes)
            }
        }
    )*};
}

floats!(f16: f16::from_f64, bf16: bf16::from_f64, f32: narrow, f64: std::convert::identity);

fn narrow(value: f64) -> f32 {
    value as f32
}

struct Texts;

impl Kind for Texts {
    const WIDTH: usize = 4;
    const WANTED: &'static str = "a text";

    fn text(value: &str, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
        push_byte_string(bytes, value.as_bytes());
        Ok(())
    }
}

struct TextsOrBase64;

impl Kind for TextsOrBase64 {
    const WIDTH: usize = 4;
    const WANTED: &'static str = "a text, or bytes as {\"b64\": \"…\"}";
    const BASE64: bool = true;

    fn text(value: &str, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
        Texts::text(value, bytes)
    }
}

/// With padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where elements go, and how many there may be.
struct Sink {
    bytes: Vec<u8>,
    found: u64,
    count: Option<u64>,
}

impl Sink {
    fn push<E: Error>(
        &mut self,
        shown: impl fmt::Display,
        wanted: &str,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Wrong>,
    ) -> Result<(), E> {
        if let Some(count) = self.count.filter(|count| self.found == *count) {
            return Err(E::custom(format_args!("the shape has {count} elements, and the data holds more")));
        }
        let at = self.found;
        write(&mut self.bytes)
            .map_err(|Wrong| E::custom(format_args!("element {at} is {shown}, and must be {wanted}")))?;
        self.found += 1;
        Ok(())
    }
}

/// A value of `data`: an element, or an array of more of these.
struct Elements<'s, K> {
    sink: &'s mut Sink,
    kind: std::marker::PhantomData<K>,
}

impl<'de, K: Kind> DeserializeSeed<'de> for Elements<'_, K> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, K: Kind> Visitor<'de> for Elements<'_, K> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", K::WANTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(Elements { sink: &mut *self.sink, kind: self.kind })?.is_some() {}
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.sink.push(value, K::WANTED, |bytes| K::integer(value.into(), bytes))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.sink.push(value, K::WANTED, |bytes| K::integer(value.into(), bytes))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.sink.push(value, K::WANTED, |bytes| K::number(value, bytes))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.sink.push(value, K::WANTED, |bytes| K::boolean(value, bytes))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.sink.push("a text", K::WANTED, |bytes| K::text(value, bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        if !K::BASE64 {
            return Err(Error::invalid_type(Unexpected::Map, &self));
        }
        let entry = object.next_entry::<Cow<str>, Cow<str>>()?;
        let bytes = entry.and_then(|(key, text)| (key == "b64").then(|| BASE64.decode(text.as_bytes()).ok())?);
        match (bytes, object.next_key::<IgnoredAny>()?) {
            (Some(bytes), None) => self.sink.push("bytes", K::WANTED, |data| {
                push_byte_string(data, &bytes);
                Ok(())
            }),
            _ => self.sink.push("an object", K::WANTED, |_| Err(Wrong)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.sink.push("null", K::WANTED, |_| Err(Wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(datatype: Datatype, count: u64, json: &str) -> Result<Vec<u8>, String> {
        super::parse(datatype, Some(count), json).map(|(bytes, _)| bytes)
    }

    #[test]
    fn reads_flat_and_nested() {
        let flat = parse(Datatype::Fp32, 4, "[1, 2.5, -3e2, 0]").unwrap();
        assert_eq!(flat, parse(Datatype::Fp32, 4, "[[1, 2.5], [-3e2, 0]]").unwrap());
        assert_eq!(&flat[4..8], 2.5f32.to_le_bytes());
        assert_eq!(parse(Datatype::Bytes, 2, r#"["hi", ""]"#).unwrap(), b"\x02\0\0\0hi\0\0\0\0");
        assert_eq!(parse(Datatype::Bool, 3, "[true, 0, 1]").unwrap(), [1, 0, 1]);
        assert_eq!(parse(Datatype::Fp16, 1, "[0.5]").unwrap(), f16::from_f32(0.5).to_le_bytes());
        assert_eq!(parse(Datatype::Uint64, 1, "[18446744073709551615]").unwrap(), u64::MAX.to_le_bytes());
        assert!(parse(Datatype::Int8, 0, "[]").unwrap().is_empty());
        assert_eq!(parse(Datatype::Int32, 1, "7").unwrap(), 7i32.to_le_bytes());
    }

    #[test]
    fn says_which_element_is_wrong() {
        for (datatype, count, json, wanted) in [
            (Datatype::Uint8, 2, "[1, 300]", "element 1 is 300, and must be a whole number from 0 to 255"),
            (Datatype::Int32, 1, "[1.5]", "element 0 is 1.5, and must be a whole number"),
            (Datatype::Fp32, 1, "[1e39]", "must be a number within the range of f32"),
            (Datatype::Fp32, 1, "[null]", "element 0 is null"),
            (Datatype::Fp32, 1, "[\"1\"]", "element 0 is a text"),
            (Datatype::Fp32, 1, "[NaN]", "expected value"),
            (Datatype::Bytes, 1, "[1]", "must be a text"),
            (Datatype::Fp32, 2, "[1, 2, 3]", "holds more"),
            (Datatype::Fp32, 3, "[1, 2]", "the data holds 2"),
            (Datatype::Fp32, 1 << 40, "[1, 2]", "holds fewer"),
            (Datatype::Fp32, 1, "[{}]", "invalid type"),
        ] {
            let error = parse(datatype, count, json).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }

    #[test]
    fn deep_nesting_ends_in_an_error() {
        let json = "[".repeat(100_000);
        assert!(parse(Datatype::Fp32, 1, &json).unwrap_err().contains("recursion limit"));
    }
}
