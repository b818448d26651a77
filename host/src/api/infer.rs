//! An inference request over HTTP, as one recipe.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::auth;
use super::call::{Answer, Client};
use super::path::ModelPath;
use super::refusal::Problem;
use super::wire::{self, DecodeError, InferRequest};
use crate::pipeline::Pipeline;

impl App {
    /// Answers an inference request over HTTP.
    pub(super) async fn infer(&self, path: &ModelPath, client: &Client, request: Request<Body>) -> Response<Body> {
        let call = match self.begin(client, request.headers(), &path.model, path.version.as_deref()) {
            Ok(call) => call,
            Err(refusal) => {
                self.drain(request.into_body()).await;
                return refusal.into_response();
            }
        };
        let answer = async {
            let (head, body) = request.into_parts();
            let limits = client.caller.tenant.limits();
            let (body, buffered) = self.read_body(&head.headers, body, limits.request_bytes).await?;
            call.usage.request_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
            let format = BodyFormat::of(&head.headers, &body);
            let query = head.uri.query().unwrap_or_default().to_owned();
            let reply_bytes = limits.reply_bytes;
            let decode = move |pipeline: &Pipeline| {
                let request = format.decode(&body, &query, pipeline);
                drop((body, buffered));
                request
            };
            let encode = move |pipeline: &Pipeline, answer: Answer| {
                let (model, version) = (&pipeline.model, &pipeline.version);
                Ok(wire::encode_json(model, version, answer.id.as_deref(), &answer.outputs, reply_bytes)?)
            };
            self.compute(&call, decode, encode).await
        };
        let answer = answer.await;
        let usage = call.usage.clone();
        let mut response = match self.end(call, answer) {
            Ok(body) => {
                usage.reply_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                json_response(body)
            }
            Err(refusal) => refusal.into_response(),
        };
        auth::add_rate_limit(&client.caller.tenant, response.headers_mut());
        response
    }

    /// The whole body, within its bounds of size and time, and within what all bodies together may take.
    async fn read_body(&self, headers: &HeaderMap, mut body: Body, bound: u64) -> Result<(Bytes, Buffered), Problem> {
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
            return Err(Problem::Encoding { encoding });
        }
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bound) {
            self.drain(body).await;
            return Err(Problem::BodyTooLarge { bound });
        }
        let waited = self.http.body_time;
        let collected = tokio::time::timeout(waited, self.collect(&mut body, bound)).await;
        let collected = collected.unwrap_or(Err(Problem::BodyTooSlow { waited }));
        if matches!(collected, Err(Problem::BodyTooLarge { .. } | Problem::TooMuchBuffered { .. })) {
            self.drain(body).await;
        }
        collected
    }

    async fn collect(&self, body: &mut Body, bound: u64) -> Result<(Bytes, Buffered), Problem> {
        let mut whole = Bytes::new();
        let mut parts = BytesMut::new();
        let mut buffered = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Problem::BodyTorn)?.into_data() else { continue };
            if (whole.len() + parts.len() + data.len()) as u64 > bound {
                return Err(Problem::BodyTooLarge { bound });
            }
            self.count_buffered(&mut buffered, data.len())?;
            // Most bodies come in one piece, and need no copy.
            if whole.is_empty() && parts.is_empty() {
                whole = data;
                continue;
            }
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&data);
        }
        Ok((if parts.is_empty() { whole } else { parts.freeze() }, buffered))
    }

    /// As bytes arrive, not as they are announced: who announces much and sends nothing takes nothing.
    fn count_buffered(&self, buffered: &mut Buffered, bytes: usize) -> Result<(), Problem> {
        let units = bytes.div_ceil(BUFFER_UNIT) as u32;
        let more = self.buffers.clone().try_acquire_many_owned(units);
        let more = more.map_err(|_| Problem::TooMuchBuffered { bound: self.http.buffered_bytes })?;
        match buffered {
            Some(buffered) => buffered.merge(more),
            None => *buffered = Some(more),
        }
        Ok(())
    }

    /// Reads a body that nobody wants, for as long as it comes without a pause: a client that still sends when the
    /// connection closes never sees the answer, and one that waits for the answer should not have to.
    pub(super) async fn drain(&self, mut body: Body) {
        let mut read = 0;
        while read <= self.http.request_bytes {
            match tokio::time::timeout(DRAIN_PAUSE, body.frame()).await {
                Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len) as u64,
                _ => return,
            }
        }
    }
}

/// A sender that says nothing for so long waits for an answer.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);

/// What a body takes of `http.buffered-bytes`, given back when it was decoded.
type Buffered = Option<OwnedSemaphorePermit>;

/// Bodies are counted in units of this many bytes.
pub(super) const BUFFER_UNIT: usize = 1024;

/// Marks a request of the protocol's binary extension.
const BINARY_HEADER: &str = "inference-header-content-length";

/// How the body is to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BodyFormat {
    Json,
    /// JSON, and tensors as bytes after it.
    Binary,
    /// The model's only BYTES input.
    Raw,
}

impl BodyFormat {
    /// By content type. Clients of the protocol often send none, and curl says `x-www-form-urlencoded` unless told
    /// otherwise; then what begins like an object is JSON.
    fn of(headers: &HeaderMap, body: &[u8]) -> BodyFormat {
        if headers.contains_key(BINARY_HEADER) {
            return BodyFormat::Binary;
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/json" => BodyFormat::Json,
            "" | "application/x-www-form-urlencoded" if body.trim_ascii_start().starts_with(b"{") => BodyFormat::Json,
            "" => BodyFormat::Json,
            _ => BodyFormat::Raw,
        }
    }

    fn decode(self, body: &[u8], query: &str, pipeline: &Pipeline) -> Result<InferRequest, Problem> {
        Ok(match self {
            BodyFormat::Json => wire::decode_json(body)?,
            BodyFormat::Binary => return Err(DecodeError::Binary.into()),
            BodyFormat::Raw => wire::decode_raw(body, query, &pipeline.signature)?,
        })
    }
}

pub(super) fn json_response(body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides_and_curl_is_understood() {
        let format = |content_type: &str, body: &[u8]| {
            let mut headers = HeaderMap::new();
            if !content_type.is_empty() {
                headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            }
            BodyFormat::of(&headers, body)
        };
        assert_eq!(format("application/json; charset=utf-8", b"{}"), BodyFormat::Json);
        assert_eq!(format("", b"{}"), BodyFormat::Json);
        assert_eq!(format("application/x-www-form-urlencoded", b" {\"inputs\": []}"), BodyFormat::Json);
        assert_eq!(format("application/x-www-form-urlencoded", b"\x89PNG"), BodyFormat::Raw);
        assert_eq!(format("image/png", b"{"), BodyFormat::Raw);
    }
}
