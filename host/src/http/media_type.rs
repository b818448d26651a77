//! What the content type of a request says of its body: one rule for every protocol.

use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::form::{self, FormError};
use crate::error::ApiError;

/// The kind of a body, by its content type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MediaType {
    /// `application/json`, `text/json`, and every type that ends in `+json`.
    Json,
    /// No content type.
    Absent,
    /// The type that curl gives every body, unless it is told another.
    CurlDefault,
    /// `application/octet-stream`, which clients on aiohttp give every body.
    Octets,
    /// `text/plain`, which `fetch` and .NET give every text.
    Text,
    /// `multipart/form-data`, with the boundary of its parts; it is empty if the type has none.
    Form { boundary: String },
    /// Any other, such as that of a picture.
    Other,
}

impl MediaType {
    pub(crate) fn of(headers: &HeaderMap) -> MediaType {
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        MediaType::parse(value.unwrap_or_default())
    }

    fn parse(content_type: &str) -> MediaType {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        match essence.trim().to_ascii_lowercase().as_str() {
            "" => MediaType::Absent,
            "application/json" | "text/json" => MediaType::Json,
            "application/x-www-form-urlencoded" => MediaType::CurlDefault,
            "application/octet-stream" => MediaType::Octets,
            "text/plain" => MediaType::Text,
            "multipart/form-data" => MediaType::Form { boundary: form::boundary(parameters) },
            other if other.ends_with("+json") => MediaType::Json,
            _ => MediaType::Other,
        }
    }
}

/// The body of a request that may be a model's input as it is, and its type: of a form, both are those of its only part.
pub(crate) fn unwrap_form(headers: &HeaderMap, body: Bytes) -> Result<(MediaType, Bytes), ApiError> {
    let MediaType::Form { boundary } = MediaType::of(headers) else { return Ok((MediaType::of(headers), body)) };
    let (content_type, content) = form::only_part(&body, &boundary).map_err(|error| match error {
        FormError::Malformed(why) => ApiError::Malformed(format!("the form (multipart/form-data) {why}")),
        FormError::NotOne(why) => ApiError::MediaType {
            what: format!("a form {why}"),
            instead: "send the file itself as the body, with its type as content-type (curl: --data-binary @FILE), or a request as JSON",
        },
    })?;
    // A part without a type is text (RFC 7578, section 4.4).
    match MediaType::parse(content_type.as_deref().unwrap_or("text/plain")) {
        MediaType::Form { .. } => Err(ApiError::MediaType {
            what: "a form within a form".into(),
            instead: "send the file itself as the body, with its type as content-type",
        }),
        part => Ok((part, content)),
    }
}

/// Checks the type of a body that can only be JSON. A type that is not right is accepted, because clients often send none
/// or the default of their library, but nothing can be read from a form.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    match MediaType::of(headers) {
        MediaType::Form { .. } => Err(ApiError::MediaType {
            what: "a form (multipart/form-data)".into(),
            instead: "this address takes JSON: send it as the body, with content-type application/json",
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_has_one_meaning() {
        let form = |boundary: &str| MediaType::Form { boundary: boundary.into() };
        for (content_type, wanted) in [
            ("", MediaType::Absent),
            ("application/json; charset=utf-8", MediaType::Json),
            ("Application/JSON", MediaType::Json),
            ("text/json", MediaType::Json),
            ("application/vnd.api+json", MediaType::Json),
            ("application/cloudevents+json; charset=utf-8", MediaType::Json),
            ("application/json-seq", MediaType::Other),
            ("text/plain;charset=UTF-8", MediaType::Text),
            ("application/octet-stream", MediaType::Octets),
            ("application/x-www-form-urlencoded", MediaType::CurlDefault),
            ("image/png", MediaType::Other),
            ("multipart/form-data; boundary=abc", form("abc")),
            ("multipart/form-data; charset=utf-8; Boundary=\"a b\"", form("a b")),
            ("multipart/form-data", form("")),
        ] {
            assert_eq!(MediaType::parse(content_type), wanted, "{content_type}");
        }
    }
}
