//! The JSON values that each datatype accepts, and the bytes that they become. Elements are little-endian, and BYTES have a
//! length before each element.

use std::borrow::Cow;
use std::fmt;

use half::{bf16, f16};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{base64, swar_float, text_mistake};
use crate::tensor::push_byte_string;

/// The conversion of one JSON value to an element of a datatype, appended to the tensor's bytes. By default a datatype
/// refuses a sort of value.
pub(super) trait Kind {
    const WIDTH: usize;
    const WANTED: &'static str;

    /// Reads the number that the text begins with, and returns its length.
    fn number(_: &[u8], _: &mut Vec<u8>) -> Result<usize, Wrong> {
        Err(Wrong)
    }

    /// Reads the object that the text begins with, and returns its length.
    fn object(_: &[u8], _: &mut Vec<u8>) -> Result<usize, Unread> {
        Err(Unread::Refused)
    }

    fn boolean(_: bool, _: &mut Vec<u8>) -> Result<(), Wrong> {
        Err(Wrong)
    }

    fn text(_: &[u8], _: &mut Vec<u8>) -> Result<(), Unread> {
        Err(Unread::Refused)
    }

    fn null(_: &mut Vec<u8>) -> Result<(), Wrong> {
        Err(Wrong)
    }
}

/// The datatype has no such value.
pub(super) struct Wrong;

/// The reason why a text or an object is not read.
pub(super) enum Unread {
    /// The datatype does not take this sort of value.
    Refused,
    /// It takes it, and there is a mistake inside.
    Damaged(String),
}

pub(super) struct Bools;

impl Kind for Bools {
    const WIDTH: usize = 1;
    const WANTED: &'static str = "true or false";

    fn boolean(value: bool, bytes: &mut Vec<u8>) -> Result<(), Wrong> {
        bytes.push(value.into());
        Ok(())
    }

    fn number(text: &[u8], bytes: &mut Vec<u8>) -> Result<usize, Wrong> {
        match whole(text) {
            Some((value @ 0..=1, length)) => Self::boolean(value == 1, bytes).map(|()| length),
            _ => Err(Wrong),
        }
    }
}

pub(super) struct Integers<T>(T);

macro_rules! integers {
    ($($rust:ty: $wanted:literal),*) => {$(
        impl Kind for Integers<$rust> {
            const WIDTH: usize = size_of::<$rust>();
            const WANTED: &'static str = $wanted;

            #[inline]
            fn number(text: &[u8], bytes: &mut Vec<u8>) -> Result<usize, Wrong> {
                let (value, length) = whole(text).ok_or(Wrong)?;
                let value = <$rust>::try_from(value).map_err(|_| Wrong)?;
                bytes.extend_from_slice(&value.to_le_bytes());
                Ok(length)
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

/// A whole number written without fraction, exponent or leading zero, and its length in bytes.
#[inline]
fn whole(text: &[u8]) -> Option<(i128, usize)> {
    let begin = usize::from(text.first() == Some(&b'-'));
    let mut value = 0u64;
    let mut at = begin;
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        at += 1;
    }
    let leading_zero = text.get(begin) == Some(&b'0') && at > begin + 1;
    if at == begin || leading_zero || matches!(text.get(at), Some(b'.' | b'e' | b'E')) {
        return None;
    }
    let value = i128::from(value);
    Some((if begin == 1 { -value } else { value }, at))
}

pub(super) struct Floats<T>(T);

macro_rules! floats {
    ($($rust:ty: $name:literal, $easy:path, $read:ty, $from:path),*) => {$(
        impl Kind for Floats<$rust> {
            const WIDTH: usize = size_of::<$rust>();
            const WANTED: &'static str = concat!("a number within the range of ", $name);

            #[inline]
            fn number(text: &[u8], bytes: &mut Vec<u8>) -> Result<usize, Wrong> {
                let easy: Option<($rust, usize)> = $easy(text);
                if let Some((value, length)) = easy {
                    bytes.extend_from_slice(&value.to_le_bytes());
                    return Ok(length);
                }
                let (value, length) = fast_float2::parse_partial::<$read, _>(text).map_err(|_| Wrong)?;
                let value: $rust = $from(value);
                // The parser returns the length of the part of `text` that it has read.
                let written = &text[..length];
                if value.is_finite() && is_json(written) || is_word(written) {
                    bytes.extend_from_slice(&value.to_le_bytes());
                    return Ok(length);
                }
                Err(Wrong)
            }

            /// `null` is NaN: replies write it so, and so do clients whose JSON has no word for NaN.
            fn null(bytes: &mut Vec<u8>) -> Result<(), Wrong> {
                bytes.extend_from_slice(&<$rust>::NAN.to_le_bytes());
                Ok(())
            }
        }
    )*};
}

/// True for the words that clients in Python and C++ write for NaN and the infinities, which JSON has no number for.
#[cold]
fn is_word(written: &[u8]) -> bool {
    matches!(written, b"NaN" | b"Infinity" | b"-Infinity")
}

/// True if a number that the float parser accepted is valid JSON: digits on both sides of a point, and no leading zero.
#[inline]
pub(super) fn is_json(number: &[u8]) -> bool {
    let begin = usize::from(number.first() == Some(&b'-'));
    let mut at = begin;
    while let Some(b'0'..=b'9') = number.get(at) {
        at += 1;
    }
    let whole = at - begin;
    let point = number.get(at) == Some(&b'.');
    let fraction = !point || matches!(number.get(at + 1), Some(b'0'..=b'9'));
    // A byte at `begin` exists where `whole` is not 0.
    whole == 1 && fraction || whole > 1 && number[begin] != b'0' && fraction
}

floats!(
    f16: "FP16", none, f64, f16::from_f64,
    bf16: "BF16", none, f64, bf16::from_f64,
    f32: "FP32", swar_float::read, f32, std::convert::identity,
    f64: "FP64", none, f64, std::convert::identity
);

/// No fast path for this type.
fn none<T>(_: &[u8]) -> Option<(T, usize)> {
    None
}

pub(super) struct Texts;

impl Kind for Texts {
    const WIDTH: usize = 4;
    const WANTED: &'static str = "a text";

    fn text(quoted: &[u8], bytes: &mut Vec<u8>) -> Result<(), Unread> {
        let damaged = |_| Unread::Damaged(text_mistake::find(quoted));
        if quoted.contains(&b'\\') {
            let text: String = serde_json::from_slice(quoted).map_err(damaged)?;
            push_byte_string(bytes, text.as_bytes());
        } else {
            let text: &str = serde_json::from_slice(quoted).map_err(damaged)?;
            push_byte_string(bytes, text.as_bytes());
        }
        Ok(())
    }
}

/// Elements of BYTES as TensorFlow Serving writes them: a string, or `{"b64": "…"}` for bytes that are not UTF-8.
pub(super) struct TextsOrBase64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64<'a> {
    #[serde(borrow)]
    b64: Cow<'a, str>,
}

impl Kind for TextsOrBase64 {
    const WIDTH: usize = 4;
    const WANTED: &'static str = "a text, or bytes in base64 as {\"b64\": \"…\"}";

    fn text(quoted: &[u8], bytes: &mut Vec<u8>) -> Result<(), Unread> {
        Texts::text(quoted, bytes)
    }

    fn object(rest: &[u8], bytes: &mut Vec<u8>) -> Result<usize, Unread> {
        let mut objects = serde_json::Deserializer::from_slice(rest).into_iter::<Base64>();
        let object = objects.next().and_then(Result::ok).ok_or(Unread::Refused)?;
        push_byte_string(bytes, &base64::decode(&object.b64).map_err(Unread::Damaged)?);
        Ok(objects.byte_offset())
    }
}

/// Elements of BYTES that a model may read as JSON: a string, or an object, whose JSON the element becomes.
pub(super) struct TextsOrObjects;

impl Kind for TextsOrObjects {
    const WIDTH: usize = 4;
    const WANTED: &'static str = "a text or an object";

    fn text(quoted: &[u8], bytes: &mut Vec<u8>) -> Result<(), Unread> {
        Texts::text(quoted, bytes)
    }

    fn object(rest: &[u8], bytes: &mut Vec<u8>) -> Result<usize, Unread> {
        let mut objects = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        let is_json = matches!(objects.next(), Some(Ok(_)));
        let object = rest.get(..objects.byte_offset()).filter(|_| is_json);
        let object = object.ok_or_else(|| Unread::Damaged("the object is not valid JSON".to_owned()))?;
        push_byte_string(bytes, object);
        Ok(object.len())
    }
}

/// Elements of BYTES as TensorFlow Serving writes them, or any other object, whose JSON the element becomes.
pub(super) struct TextsBase64OrObjects;

/// An object, reduced to whether it has the field of base64, with any value and beside any other fields.
struct HasBase64(bool);

impl<'de> Deserialize<'de> for HasBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HasBase64, D::Error> {
        deserializer.deserialize_map(HasBase64(false))
    }
}

impl<'de> Visitor<'de> for HasBase64 {
    type Value = HasBase64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<HasBase64, M::Error> {
        while let Some((field, IgnoredAny)) = map.next_entry::<Cow<'de, str>, IgnoredAny>()? {
            self.0 |= field == "b64";
        }
        Ok(self)
    }
}

impl Kind for TextsBase64OrObjects {
    const WIDTH: usize = 4;
    const WANTED: &'static str = "a text, bytes in base64 as {\"b64\": \"…\"}, or another object";

    fn text(quoted: &[u8], bytes: &mut Vec<u8>) -> Result<(), Unread> {
        Texts::text(quoted, bytes)
    }

    fn object(rest: &[u8], bytes: &mut Vec<u8>) -> Result<usize, Unread> {
        let mut objects = serde_json::Deserializer::from_slice(rest).into_iter::<HasBase64>();
        match objects.next() {
            Some(Ok(HasBase64(true))) => TextsOrBase64::object(rest, bytes).map_err(|why| match why {
                Unread::Refused => Unread::Damaged(
                    "an object with the field \"b64\" stands for bytes: it has no other field, and the value is a text"
                        .to_owned(),
                ),
                damaged => damaged,
            }),
            _ => TextsOrObjects::object(rest, bytes),
        }
    }
}
