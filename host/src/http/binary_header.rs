//! The header of a body that has binary tensors behind its JSON.

use axum::http::HeaderMap;

use crate::codec::error::DecodeError;

/// Name of the header with the length of the JSON in front of a body's binary tensors; 0 if there is no JSON.
pub(crate) const BINARY_HEADER: &str = "inference-header-content-length";

/// The length of the JSON by the binary header; `None` without the header, and an error if it is not valid.
pub(crate) fn json_length(headers: &HeaderMap, body: usize) -> Result<Option<usize>, DecodeError> {
    let mut values = headers.get_all(BINARY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(length) if digits && values.next().is_none() && length <= body => Ok(Some(length)),
        Ok(length) if digits && length > body => Err(DecodeError::HeaderTooLong { length, body }),
        _ => Err(DecodeError::Header { value: text.into_owned() }),
    }
}
