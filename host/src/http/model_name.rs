//! Names of models in addresses. They are percent-encoded, and may contain slashes, encoded or not.

use percent_encoding::percent_decode_str;

/// Upper bound in bytes on a model's name in an address; no model has a longer one.
const MAX_NAME: usize = 256;

/// Decodes a model's name in an address; `None` if it is empty, too long or not UTF-8.
pub fn parse_name(encoded: &str) -> Option<String> {
    decode(encoded).filter(|name| (1..=MAX_NAME).contains(&name.len()))
}

/// Decodes a part of an address; `None` if it is not UTF-8.
pub fn decode(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(|text| text.into_owned())
}
