//! Inference over HTTP, with requests and replies as JSON, raw bytes, or both.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;

use crate::codec::error::DecodeError;
use crate::error::ApiError;
use crate::http::binary_header::json_length;
use crate::http::inference::{ArrivedRequest, body_length};
use crate::http::media_type::{MediaType, unwrap_form};
use crate::inference::{Exchange, InferRequest, InferResponse};
use crate::pipeline::Pipeline;
use crate::protocol::oip::json::{self, Raw};
use crate::scheduler::CallContext;

/// A request to `infer`.
pub(crate) struct Infer(pub ArrivedRequest);

impl Exchange for Infer {
    type Reply = Response<Body>;

    fn decode(&mut self, context: &CallContext, model: &Pipeline) -> Result<InferRequest, ApiError> {
        let body = self.0.take_any_body()?;
        let head = &self.0.head;
        let (format, body) = BodyFormat::of(&head.headers, body)?;
        format.decode(context, &body, head.uri.query().unwrap_or_default(), model)
    }

    fn encode(
        &self,
        context: &CallContext,
        model: &Pipeline,
        response: InferResponse,
    ) -> Result<Response<Body>, ApiError> {
        self.0.reply(json::encode(context, model, &response, response.bound)?)
    }

    fn reply_bytes(reply: &Response<Body>) -> u64 {
        body_length(reply)
    }
}

/// The format of a request's body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BodyFormat {
    /// JSON of this length in bytes, and binary tensors after it.
    Json(usize),
    /// The bytes of the model's only input.
    Raw(Raw),
    /// JSON if it is a request of this model, else the bytes of the model's only input.
    Either,
    /// A text, which is the model's only input. One that is a request of this model is refused, because it may be either: the
    /// request of a client that gave no type, or the text of somebody who must not choose the parameters.
    Text,
}

impl BodyFormat {
    /// The format by the binary header, else by the content type; and the body, or that of a form's only part. The
    /// protocol's clients often send no content type, or the default of their library.
    fn of(headers: &HeaderMap, body: Bytes) -> Result<(BodyFormat, Bytes), ApiError> {
        if let Some(length) = json_length(headers, body.len())? {
            let format = if length == 0 { BodyFormat::Raw(Raw::Binary) } else { BodyFormat::Json(length) };
            return Ok((format, body));
        }
        let (media_type, body) = unwrap_form(headers, body)?;
        let object = body.trim_ascii_start().starts_with(b"{");
        let format = match media_type {
            MediaType::Json | MediaType::Absent => BodyFormat::Json(body.len()),
            MediaType::CurlDefault if object => BodyFormat::Json(body.len()),
            MediaType::Octets if object => BodyFormat::Either,
            MediaType::Text if object => BodyFormat::Text,
            _ => BodyFormat::Raw(Raw::Plain),
        };
        Ok((format, body))
    }

    fn decode(
        self,
        context: &CallContext,
        body: &Bytes,
        query: &str,
        pipeline: &Pipeline,
    ) -> Result<InferRequest, ApiError> {
        Ok(match self {
            BodyFormat::Json(length) => json::decode_json(context, &body.slice(..length), body.slice(length..))?,
            BodyFormat::Raw(raw) => match json::decode_raw(raw, body, query, &pipeline.signature) {
                // The model takes no plain body, so this can only be JSON, whatever its type: browsers send JSON as plain
                // text.
                Err(DecodeError::NotBytes { .. }) if body.trim_ascii_start().starts_with(b"{") => {
                    json::decode_json(context, body, Bytes::new())?
                }
                decoded => decoded?,
            },
            BodyFormat::Text => match json::decode_raw(Raw::Plain, body, query, &pipeline.signature) {
                Err(DecodeError::NotBytes { .. }) => json::decode_json(context, body, Bytes::new())?,
                decoded => {
                    let request = json::decode_json(context, body, Bytes::new());
                    if request.is_ok_and(|request| names_inputs_of(&request, pipeline)) {
                        return Err(text_or_request());
                    }
                    decoded?
                }
            },
            BodyFormat::Either => match json::decode_json(context, body, Bytes::new()) {
                Ok(request) if names_inputs_of(&request, pipeline) => request,
                decoded => json::decode_raw(Raw::Plain, body, query, &pipeline.signature).or(decoded)?,
            },
        })
    }
}

fn text_or_request() -> ApiError {
    ApiError::MediaType {
        what: "a body of type text/plain that is a request as JSON".into(),
        instead: "send a request with content-type application/json, and a text that is the input with Inference-Header-Content-Length: 0",
    }
}

/// True if a request has only inputs of the model: a text that is a request of another one is an input.
fn names_inputs_of(request: &InferRequest, pipeline: &Pipeline) -> bool {
    let known = |name: &str| pipeline.signature.inputs.iter().any(|input| *input.name == *name);
    request.inputs.iter().all(|(name, _)| known(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::binary_header::BINARY_HEADER;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().filter(|value| !value.is_empty()).map(|v| (name.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn the_content_type_decides_and_curl_is_understood() {
        let format = |content_type: &str, body: &'static [u8]| {
            BodyFormat::of(&headers("content-type", &[content_type]), Bytes::from_static(body)).unwrap().0
        };
        assert_eq!(format("application/json; charset=utf-8", b"{}"), BodyFormat::Json(2));
        assert_eq!(format("", b"{}"), BodyFormat::Json(2));
        assert_eq!(format("application/x-www-form-urlencoded", b" {\"inputs\": []}"), BodyFormat::Json(15));
        assert_eq!(format("application/x-www-form-urlencoded", b"\x89PNG"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("image/png", b"{"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("application/octet-stream", b"{}"), BodyFormat::Either);
        assert_eq!(format("text/plain;charset=UTF-8", b"{}"), BodyFormat::Text);
        assert_eq!(format("text/plain", b"hello"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("application/vnd.api+json", b"[]"), BodyFormat::Json(2));
        let form = b"--b\r\ncontent-type: application/json\r\n\r\n{}\r\n--b--";
        assert_eq!(format("multipart/form-data; boundary=b", form), BodyFormat::Json(2));
        assert_eq!(format("application/octet-stream", b"\x89PNG"), BodyFormat::Raw(Raw::Plain));
    }

    #[test]
    fn the_binary_header_goes_before_the_content_type() {
        let format = |values: &[&str]| {
            BodyFormat::of(&headers(BINARY_HEADER, values), Bytes::from_static(b"{}1234")).map(|(format, _)| format)
        };
        assert_eq!(format(&["2"]).unwrap(), BodyFormat::Json(2));
        assert_eq!(format(&["6"]).unwrap(), BodyFormat::Json(6));
        assert_eq!(format(&["0"]).unwrap(), BodyFormat::Raw(Raw::Binary));
        assert!(matches!(format(&["7"]), Err(ApiError::Decode(DecodeError::HeaderTooLong { length: 7, body: 6 }))));
        for wrong in [&["-1"][..], &["two"], &["+2"], &["2", "2"], &["99999999999999999999999"]] {
            assert!(matches!(format(wrong), Err(ApiError::Decode(DecodeError::Header { .. }))), "{wrong:?}");
        }
    }
}
