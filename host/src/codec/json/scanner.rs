//! Walks through the objects and arrays of a text of JSON. What is small is read by serde as it comes; what is large is
//! read by whoever knows how, where it stands, and never twice.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::codec::error::DecodeError;

pub struct JsonScanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> JsonScanner<'a> {
    pub fn new(json: &'a [u8]) -> Self {
        JsonScanner { json, at: 0 }
    }

    /// `field` is called with the name of each field of an object, and reads its value.
    pub fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name: String = self.value()?;
            self.expect(b':', "a colon")?;
            field(self, &name)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "a comma or the object's end")?;
        }
    }

    /// `item` reads each value of an array.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        self.expect(b'[', "an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "a comma or the array's end")?;
        }
    }

    pub fn value<T: Deserialize<'a>>(&mut self) -> Result<T, DecodeError> {
        let mut values = serde_json::Deserializer::from_slice(&self.json[self.at..]).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => Err(self.wrong(&without_place(&error))),
            None => Err(self.wrong("a value is missing")),
        }
    }

    /// The value of a field that may be there once.
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

    /// The text of a value that somebody else reads. Where it ends is found by its quotes and brackets; whether it is JSON,
    /// or has the words that are taken for numbers (`NaN`), is for the reader to say.
    pub fn raw(&mut self) -> Result<&'a str, DecodeError> {
        self.skip_space();
        let rest = &self.json[self.at..];
        let length = value_length(rest).ok_or_else(|| self.wrong("a value is missing, or has no end"))?;
        let text = std::str::from_utf8(&rest[..length]).map_err(|_| self.wrong("the value is not UTF-8"))?;
        self.at += length;
        Ok(text)
    }

    /// What has not been read, when it begins with this byte.
    pub fn rest_if(&mut self, first: u8) -> Option<&'a [u8]> {
        self.skip_space();
        self.json.get(self.at..).filter(|rest| rest.first() == Some(&first))
    }

    /// So many bytes of the rest were read by somebody else.
    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    pub fn end(&mut self) -> Result<(), DecodeError> {
        self.skip_space();
        if self.at < self.json.len() { Err(self.wrong("more follows its end")) } else { Ok(()) }
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

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), DecodeError> {
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

/// The bytes of the value that stands at the begin: a text, what is between brackets, or a word.
pub fn value_length(json: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
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

/// How long the text is that stands at the begin, with its quotes.
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

/// Lines and columns would start at the value; the byte where it begins is told instead. Rust's words mean nothing to clients.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
    problem.replace("expected i64", "expected a whole number").replace("expected u64", "expected a whole number from 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(json: &str) -> Result<Vec<(String, u64)>, String> {
        let mut walk = JsonScanner::new(json.as_bytes());
        let mut found = Vec::new();
        let walked = walk.object(|walk, name| {
            found.push((name.to_owned(), walk.value()?));
            Ok(())
        });
        walked.and_then(|()| walk.end()).map(|()| found).map_err(|error| error.to_string())
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
            let mut walk = JsonScanner::new(json.as_bytes());
            assert_eq!(walk.raw().ok(), wanted, "{json}");
        }
        assert!(JsonScanner::new(b"\"\xff\"").raw().is_err());
    }

    #[test]
    fn goes_through_objects_and_says_where_it_stumbles() {
        assert_eq!(names(" { \"a\" : 1 ,\"b\":2 } ").unwrap(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(names("{}").unwrap(), []);
        for (json, wanted) in [
            ("", "expected an object, and the text ends, at byte 0"),
            ("[]", "expected an object"),
            ("{\"a\" 1}", "expected a colon, at byte 5"),
            ("{\"a\":}", "expected value, at byte 5"),
            ("{\"a\":1", "expected a comma or the object's end, and the text ends, at byte 6"),
            ("{\"a\":1,}", "expected value, at byte 7"),
            ("{\"a\":1}}", "more follows its end, at byte 7"),
            ("{\"a\":\"x\"}", "invalid type: string \"x\", expected a whole number from 0, at byte 5"),
            ("{\"a\":", "a value is missing, at byte 5"),
            ("{1:2}", "invalid type"),
        ] {
            let error = names(json).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
