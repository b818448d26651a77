//! Inference over HTTP: the steps from a request to its reply, which all protocols over HTTP share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, Response, header};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::path::ModelPath;
use crate::codec::error::DecodeError;
use crate::error::{ApiError, ErrorResponse};
use crate::http::compression::Coding;
use crate::http::request_body::Received;
use crate::http::response::{BINARY_HEADER, Replying};
use crate::http::{auth, sse};
use crate::inference::call::{Call, Client};
use crate::inference::{App, InferRequest, InferResponse};
use crate::pipeline::Pipeline;
use crate::protocol::oip::json::{self, Raw};

impl App {
    /// Answers an inference request over HTTP.
    pub(crate) async fn infer(
        self: &Arc<Self>,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
    ) -> Response<Body> {
        let bound = client.caller.tenant.limits().reply_bytes;
        let decode = |head: &Parts, body: &Bytes, pipeline: &Pipeline| {
            BodyFormat::of(&head.headers, body)?.decode(body, head.uri.query().unwrap_or_default(), pipeline)
        };
        let encode = move |pipeline: &Pipeline, answer: InferResponse, replying: Replying| {
            replying.inference(json::encode(pipeline, &answer, bound)?)
        };
        self.answer(path, client, request, decode, encode).await
    }

    /// Runs a model for any protocol over HTTP. `decode` gets the decompressed body, and `encode` the form of the reply;
    /// both are called on a compute thread, unless the call runs inline.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
        decode: impl FnOnce(&Parts, &Bytes, &Pipeline) -> Result<InferRequest, ApiError> + Send + 'static,
        encode: impl FnOnce(&Pipeline, InferResponse, Replying) -> Result<Response<Body>, ApiError> + Send + 'static,
    ) -> Response<Body> {
        let answered = async {
            let (call, head, received, replying) = self.begin_received(path, client, request).await?;
            let decode = move |pipeline: &Pipeline| decode(&head, &received.unpack()?, pipeline);
            let encode = move |pipeline: &Pipeline, answer: InferResponse| encode(pipeline, answer, replying);
            let answer = self.compute(&call, decode, encode).await;
            let usage = call.usage.clone();
            let response = self.end(call, answer)?;
            let length = axum::body::HttpBody::size_hint(response.body()).lower();
            usage.reply_bytes.fetch_add(length, Ordering::Relaxed);
            Ok(response)
        };
        respond(client, answered.await)
    }

    /// Like [`Self::answer`], for any number of responses: each is sent as an event. An error before the first response is
    /// a reply of its own.
    pub(crate) async fn answer_in_events(
        self: &Arc<Self>,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
        decode: impl FnOnce(&Parts, &Bytes, &Pipeline) -> Result<InferRequest, ApiError> + Send + 'static,
        encode: impl Fn(&Pipeline, InferResponse, u64) -> Result<Vec<u8>, ApiError> + Send + 'static,
    ) -> Response<Body> {
        let answered = async {
            let (call, head, received, replying) = self.begin_received(path, client, request).await?;
            let usage = call.usage.clone();
            let decode = move |pipeline: &Pipeline| decode(&head, &received.unpack()?, pipeline);
            let encode = move |pipeline: &Pipeline, answer: InferResponse, bound: u64| {
                let event = sse::event(&encode(pipeline, answer, bound)?);
                let bytes = event.len() as u64;
                usage.reply_bytes.fetch_add(bytes, Ordering::Relaxed);
                Ok((replying.room.hold(event)?, bytes))
            };
            let mut answers = self.stream(call, decode, encode).await?;
            let first = answers.next().await.transpose()?;
            Ok(sse::events(stream::iter(first.map(Ok)).chain(answers.into_stream())))
        };
        respond(client, answered.await)
    }

    /// Finds the model, and reads the body within the tenant's bound.
    async fn begin_received(
        &self,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
    ) -> Result<(Call, Parts, Received, Replying), ErrorResponse> {
        let mut call = match self.begin(client, request.headers(), &path.model, path.version.as_deref()) {
            Ok(call) => call,
            Err(error) => {
                self.drain(request.into_body()).await;
                return Err(error);
            }
        };
        let (head, body) = request.into_parts();
        let bound = client.caller.tenant.limits().request_bytes;
        let room = self.room.of(&client.caller.tenant.buffered);
        match self.read_body(&head.headers, body, bound, &room).await {
            Ok(received) => {
                call.usage.request_bytes.fetch_add(received.len() as u64, Ordering::Relaxed);
                call.small = received.is_small(json_length(&head.headers, received.len()).unwrap_or_default());
                let replying = Replying { coding: Coding::accepted(&head.headers), room };
                Ok((call, head, received, replying))
            }
            Err(error) => self.end(call, Err(error)),
        }
    }
}

fn respond(client: &Client, answered: Result<Response<Body>, ErrorResponse>) -> Response<Body> {
    let mut response = answered.unwrap_or_else(ErrorResponse::into_response);
    auth::add_rate_limit(&client.caller.tenant, response.headers_mut());
    response
}

/// The format of a request's body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BodyFormat {
    /// JSON of this length in bytes, and binary tensors after it.
    Json(usize),
    /// The bytes of the model's only input.
    Raw(Raw),
    /// JSON if it is a valid request, else the bytes of the model's only input.
    Either,
}

impl BodyFormat {
    /// The format by the binary header, else by the content type. The protocol's clients often send no content type, and
    /// curl sends `x-www-form-urlencoded` by default; then a body that begins like an object is JSON.
    fn of(headers: &HeaderMap, body: &[u8]) -> Result<BodyFormat, DecodeError> {
        if let Some(length) = json_length(headers, body.len())? {
            return Ok(if length == 0 { BodyFormat::Raw(Raw::Binary) } else { BodyFormat::Json(length) });
        }
        let json = BodyFormat::Json(body.len());
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        Ok(match essence.to_ascii_lowercase().as_str() {
            "application/json" => json,
            "" | "application/x-www-form-urlencoded" if body.trim_ascii_start().starts_with(b"{") => json,
            "" => json,
            // Clients on aiohttp send this type for every body.
            "application/octet-stream" if body.trim_ascii_start().starts_with(b"{") => BodyFormat::Either,
            _ => BodyFormat::Raw(Raw::Plain),
        })
    }

    fn decode(self, body: &Bytes, query: &str, pipeline: &Pipeline) -> Result<InferRequest, ApiError> {
        Ok(match self {
            BodyFormat::Json(length) => json::decode_json(&body.slice(..length), body.slice(length..))?,
            BodyFormat::Raw(raw) => match json::decode_raw(raw, body, query, &pipeline.signature) {
                // The model takes no plain body, so this can only be JSON, whatever its type: browsers send JSON as plain
                // text.
                Err(DecodeError::NotBytes { .. }) if body.trim_ascii_start().starts_with(b"{") => {
                    json::decode_json(body, Bytes::new())?
                }
                decoded => decoded?,
            },
            BodyFormat::Either => json::decode_json(body, Bytes::new())
                .or_else(|wrong| json::decode_raw(Raw::Plain, body, query, &pipeline.signature).map_err(|_| wrong))?,
        })
    }
}

/// The length of the JSON by the binary header; `None` without the header, and an error if it is not valid.
fn json_length(headers: &HeaderMap, body: usize) -> Result<Option<usize>, DecodeError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().filter(|value| !value.is_empty()).map(|v| (name.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn the_content_type_decides_and_curl_is_understood() {
        let format =
            |content_type: &str, body: &[u8]| BodyFormat::of(&headers("content-type", &[content_type]), body).unwrap();
        assert_eq!(format("application/json; charset=utf-8", b"{}"), BodyFormat::Json(2));
        assert_eq!(format("", b"{}"), BodyFormat::Json(2));
        assert_eq!(format("application/x-www-form-urlencoded", b" {\"inputs\": []}"), BodyFormat::Json(15));
        assert_eq!(format("application/x-www-form-urlencoded", b"\x89PNG"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("image/png", b"{"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("application/octet-stream", b"{}"), BodyFormat::Either);
        assert_eq!(format("application/octet-stream", b"\x89PNG"), BodyFormat::Raw(Raw::Plain));
    }

    #[test]
    fn the_binary_header_goes_before_the_content_type() {
        let format = |values: &[&str]| BodyFormat::of(&headers(BINARY_HEADER, values), b"{}1234");
        assert_eq!(format(&["2"]).unwrap(), BodyFormat::Json(2));
        assert_eq!(format(&["6"]).unwrap(), BodyFormat::Json(6));
        assert_eq!(format(&["0"]).unwrap(), BodyFormat::Raw(Raw::Binary));
        assert!(matches!(format(&["7"]), Err(DecodeError::HeaderTooLong { length: 7, body: 6 })));
        for wrong in [&["-1"][..], &["two"], &["+2"], &["2", "2"], &["99999999999999999999999"]] {
            assert!(matches!(format(wrong), Err(DecodeError::Header { .. })), "{wrong:?}");
        }
    }
}
