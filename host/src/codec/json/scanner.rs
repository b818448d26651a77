//! A scanner that walks through the objects and arrays of a JSON text. It lets serde read small values, and hands the text
//! of large ones, such as a tensor's data, to the caller, so that this text is read once and never becomes a tree of
//! values.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::codec::error::DecodeError;
use crate::codec::json_mistake::in_plain_words;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// True if a text begins with an object, after white space and the mark that [`JsonScanner::new`] skips.
pub fn begins_object(json: &[u8]) -> bool {
    JsonScanner::new(json).rest_if(b'{').is_some()
}

/// A JSON text without the mark of UTF-8 that some editors and .NET put before it.
pub fn without_mark(json: &[u8]) -> &[u8] {
    json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json)
}

pub struct JsonScanner<'a> {
    json: &'a [u8],
    /// Byte that is read next; at most the length of the text, so that slices from here exist.
    at: usize,
}

impl<'a> JsonScanner<'a> {
    /// Skips the mark of UTF-8.
    pub fn new(json: &'a [u8]) -> Self {
        JsonScanner { json, at: json.len() - without_mark(json).len() }
    }

    /// Reads an object: `field` is called with the name of each field, and must read its value.
    pub fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.require(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name: String = self.value()?;
            self.require(b':', "a colon")?;
            field(self, &name)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.require(b',', "a comma or the object's end")?;
        }
    }

    /// Reads an array: `item` is called for each value, and must read it.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        self.require(b'[', "an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.require(b',', "a comma or the array's end")?;
        }
    }

    pub fn value<T: Deserialize<'a>>(&mut self) -> Result<T, DecodeError> {
        let mut values = serde_json::Deserializer::from_slice(&self.json[self.at..]).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => Err(self.wrong(&in_plain_words(&error))),
            None => Err(self.wrong("a value is missing")),
        }
    }

    /// Reads the value of a field into `place`, and refuses a second field of that name.
    pub fn once<T: Deserialize<'a>>(&mut self, field: &str, place: &mut Option<T>) -> Result<(), DecodeError> {
        if place.is_some() {
            return Err(self.twice(field));
        }
        *place = Some(self.value().map_err(|error| within(field, error))?);
        Ok(())
    }

    pub fn skip_value(&mut self) -> Result<(), DecodeError> {
        self.value::<IgnoredAny>().map(drop)
    }

    /// Returns the text of a value that the caller reads. Only quotes and brackets are looked at, to find its end: the
    /// caller must check that it is JSON, or one of the words that are accepted as numbers (`NaN`).
    pub fn raw(&mut self) -> Result<&'a str, DecodeError> {
        self.skip_space();
        let rest = &self.json[self.at..];
        let length = value_length(rest).ok_or_else(|| self.wrong("a value is missing, or has no end"))?;
        let text = std::str::from_utf8(&rest[..length]).map_err(|error| DecodeError::Json {
            problem: "the value is not UTF-8".to_owned(),
            byte: self.at + error.valid_up_to(),
        })?;
        self.at += length;
        Ok(text)
    }

    /// The text that has not been read yet, if it begins with this byte after white space.
    pub fn rest_if(&mut self, first: u8) -> Option<&'a [u8]> {
        self.skip_space();
        self.json.get(self.at..).filter(|rest| rest.first() == Some(&first))
    }

    /// Skips bytes of that text after the caller has read them; beyond its end there is nothing to skip.
    pub fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.json.len());
    }

    /// Number of bytes that were read.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn end(&mut self) -> Result<(), DecodeError> {
        self.skip_space();
        if self.at < self.json.len() { Err(self.wrong("more text follows the end")) } else { Ok(()) }
    }

    pub fn twice(&self, field: &str) -> DecodeError {
        self.wrong(&format!("duplicate field `{field}`"))
    }

    pub fn missing(&self, field: &str) -> DecodeError {
        self.wrong(&format!("missing field `{field}`"))
    }

    fn wrong(&self, problem: &str) -> DecodeError {
        DecodeError::Json { problem: problem.to_owned(), byte: self.at }
    }

    fn require(&mut self, byte: u8, what: &str) -> Result<(), DecodeError> {
        if self.take(byte) {
            return Ok(());
        }
        let end = if self.at < self.json.len() { "" } else { ", and the text ends" };
        Err(self.wrong(&format!("expected {what}{end}")))
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_there = self.json.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.json.get(self.at) {
            self.at += 1;
        }
    }
}

/// Length in bytes of the value that a text begins with: a string, an array or object up to its closing bracket, or a word.
/// `None` if there is no value, or the text ends within it.
pub fn value_length(json: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        // The byte exists, so the slices from it below do, and each of the lengths ends within the text.
        let length = match json.get(at)? {
            b'[' | b'{' => {
                depth += 1;
                1
            }
            b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                1
            }
            b'"' => text_length(&json[at..])?,
            b',' | b':' if depth == 0 => return None,
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => 1,
            _ => word_length(&json[at..]),
        };
        at += length;
        if depth == 0 {
            return Some(at);
        }
    }
}

fn word_length(json: &[u8]) -> usize {
    let ends =
        |byte: &u8| matches!(byte, b',' | b':' | b'[' | b']' | b'{' | b'}' | b'"' | b' ' | b'\n' | b'\r' | b'\t');
    json.iter().position(ends).unwrap_or(json.len())
}

/// Length in bytes of the string that a text begins with, including its quotes, at most that of the text; `None` if it has
/// no end.
pub fn text_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn within(field: &str, error: DecodeError) -> DecodeError {
    match error {
        DecodeError::Json { problem, byte } => DecodeError::Json { problem: format!("{field}: {problem}"), byte },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(json: &str) -> Result<Vec<(String, u64)>, String> {
        let mut scanner = JsonScanner::new(json.as_bytes());
        let mut found = Vec::new();
        let scanned = scanner.object(|scanner, name| {
            found.push((name.to_owned(), scanner.value()?));
            Ok(())
        });
        scanned.and_then(|()| scanner.end()).map(|()| found).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_is_found_without_being_read() {
        for (json, wanted) in [
            (" 7 ,", Some("7")),
            ("NaN]", Some("NaN")),
            (r#""a\"]" : 1"#, Some(r#""a\"]""#)),
            (r#"[1, {"a": "]"}, -Infinity] , 2"#, Some(r#"[1, {"a": "]"}, -Infinity]"#)),
            ("{}", Some("{}")),
            ("", None),
            (",1", None),
            ("]", None),
            ("[1, 2", None),
            ("\"a", None),
        ] {
            let mut scanner = JsonScanner::new(json.as_bytes());
            assert_eq!(scanner.raw().ok(), wanted, "{json}");
        }
        assert!(JsonScanner::new(b"\"\xff\"").raw().is_err());
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        let mut scanner = JsonScanner::new(b"[1]");
        scanner.advance(usize::MAX);
        assert!(scanner.value::<u64>().is_err());
        assert!(scanner.raw().is_err());
        assert_eq!(scanner.rest_if(b'['), None);
        for text in ["\"\\", "[\"\\", "{\"a\":\"\\\"", "\"a\\\""] {
            assert!(JsonScanner::new(text.as_bytes()).raw().is_err(), "{text}");
            assert!(JsonScanner::new(text.as_bytes()).value::<String>().is_err(), "{text}");
        }
    }

    #[test]
    fn objects_are_read_and_errors_say_where() {
        assert_eq!(names(" { \"a\" : 1 ,\"b\":2 } ").unwrap(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(names("{}").unwrap(), []);
        assert_eq!(names("\u{feff}{\"a\": 1}").unwrap(), [("a".to_owned(), 1)]);
        for (json, wanted) in [
            ("", "expected an object, and the text ends, at byte 0"),
            ("[]", "expected an object"),
            ("{\"a\" 1}", "expected a colon, at byte 5"),
            ("{\"a\":}", "expected value, at byte 5"),
            ("{\"a\":1", "expected a comma or the object's end, and the text ends, at byte 6"),
            ("{\"a\":1,}", "expected value, at byte 7"),
            ("{\"a\":1}}", "more text follows the end, at byte 7"),
            ("{\"a\":\"x\"}", "it is the text \"x\", and must be a whole number from 0, at byte 5"),
            ("{\"a\":", "a value is missing, at byte 5"),
            ("{1:2}", "it is 1, and must be a text"),
        ] {
            let error = names(json).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
