//! Answers as server-sent events, one after the other as they come.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use crate::error::ErrorResponse;

/// What is made of [`event`]s. A refusal after the first is an event too, and the last.
pub(crate) fn events(answers: impl Stream<Item = Result<Bytes, ErrorResponse>> + Send + 'static) -> Response<Body> {
    let events = answers.map(|answer| Ok::<_, Infallible>(answer.unwrap_or_else(|refusal| event(&refusal.body()))));
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An event around JSON, which has no line breaks.
pub(crate) fn event(json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + 8);
    event.put_slice(b"data: ");
    event.put_slice(json);
    event.put_slice(b"\n\n");
    event.freeze()
}
