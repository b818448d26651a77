//! A reader that walks through JSON arrays of any nesting and returns their scalars one by one. It trusts nothing about the
//! text, which may be truncated or not be JSON at all.

use super::nesting::Nesting;
use super::scanner::text_length;

/// A value that is not an array, as the text it is written with.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    /// A token that starts like a number or like `NaN` or `Infinity`, with the rest of the text; the caller reports its
    /// length with [`Array::skip`].
    Number(&'a [u8]),
    /// A string with its quotes.
    Text(&'a [u8]),
    Boolean(bool),
    Null,
    /// An object with the rest of the text; the caller reports its length, as for a number.
    Object(&'a [u8]),
}

impl Scalar<'_> {
    pub(crate) fn describe(self) -> String {
        match self {
            Scalar::Number(rest) => {
                let digits =
                    rest.iter().take(40).take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
                String::from_utf8_lossy(&digits.copied().collect::<Vec<u8>>()).into_owned()
            }
            Scalar::Text(_) => "a text".into(),
            Scalar::Boolean(value) => value.to_string(),
            Scalar::Null => "null".into(),
            Scalar::Object(_) => "an object".into(),
        }
    }
}

/// An iterator over the scalars of arrays of any depth. It does not recurse, so the depth of a text cannot use up the
/// stack.
pub(crate) struct Array<'a> {
    json: &'a [u8],
    at: usize,
    nesting: Nesting,
    wants: Wants,
    /// The depth at which the text may end: 0 for a whole array, 1 for a part between two of its commas.
    outermost: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Wants {
    Value,
    ValueOrEnd,
    CommaOrEnd,
}

impl<'a> Array<'a> {
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Array { json, at: 0, nesting: Nesting::default(), wants: Wants::Value, outermost: 0 }
    }

    /// A reader of a part of an array: the text between two of its commas, without brackets of its own.
    pub(crate) fn inside(json: &'a [u8]) -> Self {
        Array { json, at: 0, nesting: Nesting::inside_list(), wants: Wants::Value, outermost: 1 }
    }

    /// Fast path for a comma, an optional space and a number, which is nearly every element of a large array; `None` where
    /// the text goes on otherwise, for [`Self::next`] to read.
    #[inline]
    pub(crate) fn next_number(&mut self) -> Option<&'a [u8]> {
        if self.wants != Wants::CommaOrEnd || self.nesting.depth() == 0 || self.json.get(self.at) != Some(&b',') {
            return None;
        }
        let begin = self.at + 1 + usize::from(self.json.get(self.at + 1) == Some(&b' '));
        let rest = self.json.get(begin..).filter(|rest| matches!(rest.first(), Some(b'-' | b'0'..=b'9')))?;
        self.at = begin;
        self.nesting.count();
        Some(rest)
    }

    /// The next scalar; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Scalar<'a>>, String> {
        loop {
            let byte = self.json.get(self.at).copied();
            match (byte, self.wants) {
                (_, Wants::CommaOrEnd) if self.nesting.depth() == 0 => return Ok(None),
                (None, Wants::CommaOrEnd) if self.nesting.depth() == self.outermost => return Ok(None),
                (Some(b' ' | b'\n' | b'\r' | b'\t'), _) => self.at += 1,
                (Some(b','), Wants::CommaOrEnd) => self.step(Wants::Value),
                (Some(b']'), Wants::CommaOrEnd | Wants::ValueOrEnd) => {
                    self.nesting.close()?;
                    self.step(Wants::CommaOrEnd);
                }
                (Some(b'['), Wants::Value | Wants::ValueOrEnd) => {
                    self.nesting.open()?;
                    self.step(Wants::ValueOrEnd);
                }
                (Some(first), Wants::Value | Wants::ValueOrEnd) => return self.scalar(first).map(Some),
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// Number of bytes that were read.
    pub(crate) fn length(&self) -> usize {
        self.at
    }

    /// Sizes of the lists that were read, outermost first; empty for a single value.
    pub(crate) fn into_shape(self) -> Vec<u64> {
        self.nesting.into_shape()
    }

    /// Skips a number or object after the caller has read it, by its length in bytes.
    #[inline]
    pub(crate) fn skip(&mut self, length: usize) {
        self.at += length;
    }

    #[inline]
    fn step(&mut self, wants: Wants) {
        self.at += 1;
        self.wants = wants;
    }

    #[cold]
    fn unexpected(&self) -> String {
        match self.json.get(self.at) {
            Some(byte) => {
                format!("expected value, comma or end, and found '{}' at byte {}", byte.escape_ascii(), self.at)
            }
            None => format!("expected value, comma or end, and the data ends at byte {}", self.at),
        }
    }

    #[inline]
    fn scalar(&mut self, first: u8) -> Result<Scalar<'a>, String> {
        let rest = &self.json[self.at..];
        let (scalar, length) = match first {
            b'-' | b'0'..=b'9' | b'N' | b'I' => Some((Scalar::Number(rest), 0)),
            b'"' => text_length(rest).map(|length| (Scalar::Text(&rest[..length]), length)),
            b't' if rest.starts_with(b"true") => Some((Scalar::Boolean(true), 4)),
            b'f' if rest.starts_with(b"false") => Some((Scalar::Boolean(false), 5)),
            b'n' if rest.starts_with(b"null") => Some((Scalar::Null, 4)),
            b'{' => Some((Scalar::Object(rest), 0)),
            _ => None,
        }
        .ok_or_else(|| self.unexpected())?;
        self.nesting.value()?;
        self.at += length;
        self.wants = Wants::CommaOrEnd;
        Ok(scalar)
    }
}
