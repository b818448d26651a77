//! Server-sent events: one event for each response of a stream, as it comes.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use crate::error::ErrorResponse;

/// Time without an event after which a comment is sent. Proxies close a connection on which nothing comes for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A comment, which readers of events skip.
const COMMENT: &[u8] = b": keep-alive\n\n";

/// A response whose body is the stream's events, each made by [`event`]. An error after the first event is an event too, and
/// the last.
pub(crate) fn events(responses: impl Stream<Item = Result<Bytes, ErrorResponse>> + Send + 'static) -> Response<Body> {
    let events = responses.map(|response| response.unwrap_or_else(|error| event(&error.body())));
    let mut response = Response::new(Body::from_stream(kept_alive(events, KEEP_ALIVE)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The events, and a comment whenever none came for so long.
fn kept_alive(
    events: impl Stream<Item = Bytes> + Send + 'static,
    period: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    let events = tokio_stream::StreamExt::timeout_repeating(events, ticks);
    events.map(|event| Ok(event.unwrap_or(Bytes::from_static(COMMENT))))
}

/// An event around JSON, which has no line breaks.
pub(crate) fn event(json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + 8);
    event.put_slice(b"data: ");
    event.put_slice(json);
    event.put_slice(b"\n\n");
    event.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_without_events_is_kept_alive() {
        let first = futures_util::stream::iter([event(b"1")]);
        let events = first.chain(futures_util::stream::pending());
        let mut sent = Box::pin(kept_alive(events, Duration::from_millis(5)));
        let mut next = async || sent.next().await.unwrap().unwrap();
        assert_eq!(next().await, "data: 1\n\n");
        assert_eq!(next().await, COMMENT);
        assert_eq!(next().await, COMMENT);
    }
}
