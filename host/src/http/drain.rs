//! Reading of the rest of a request's body that its handler did not read, such as one that refused the request. If the
//! connection closed while the client was still sending, the client would see a broken connection instead of the reply.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode, Version, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::request_body::BodyReader;

/// Pause after which a client is taken to be waiting for the reply.
const PAUSE: Duration = Duration::from_millis(100);

/// A body that stays readable after the handler has dropped it.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<SharedState>>);

struct SharedState {
    body: Body,
    /// True if the body returned its end, or an error, after which nothing comes.
    ended: bool,
    /// True if something asked for the body.
    asked: bool,
}

impl SharedBody {
    fn new(body: Body) -> SharedBody {
        SharedBody(Arc::new(Mutex::new(SharedState { body, ended: false, asked: false })))
    }

    fn has_ended(&self) -> bool {
        let state = self.state();
        state.ended || state.body.is_end_stream()
    }

    fn was_asked(&self) -> bool {
        self.state().asked
    }

    fn state(&self) -> MutexGuard<'_, SharedState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.state();
        state.asked = true;
        let polled = Pin::new(&mut state.body).poll_frame(context);
        state.ended |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}

/// Answers a request, and reads the rest of its body before the reply is sent. If the end of the body does not arrive, the
/// reply announces that the connection closes, so that the client sends no other request on it.
pub(super) async fn read_unread<F: Future<Output = Response<Body>>>(
    bodies: &BodyReader,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response<Body> {
    if request.body().is_end_stream() {
        return answer(request).await;
    }
    // Over HTTP/2 only the stream of the request ends, and there is no such header.
    let closes = request.version() < Version::HTTP_2;
    let (head, body) = request.into_parts();
    let waits =
        head.headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let body = SharedBody::new(body);
    let mut response = answer(Request::from_parts(head, Body::new(body.clone()))).await;
    // A body that did not arrive in time gets no more time.
    let too_slow = response.status() == StatusCode::REQUEST_TIMEOUT;
    // A client that waits for `100 Continue` has sent no body, and would be asked for it by the first look at it.
    let unsent = waits && !body.was_asked();
    if !body.has_ended() && !too_slow && !unsent {
        drain(bodies, body.clone()).await;
    }
    if closes && !body.has_ended() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads and drops a body until the client pauses, has sent more than `http.request-bytes`, or has taken `http.body-time`.
/// A client that waits for the reply should not have to wait for a timeout.
async fn drain(bodies: &BodyReader, mut body: SharedBody) {
    let reading = async {
        let mut read = 0;
        while read <= bodies.request_bytes {
            match tokio::time::timeout(PAUSE, body.frame()).await {
                Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len) as u64,
                _ => return,
            }
        }
    };
    // A client that sends a byte now and then never pauses for long enough.
    let _ = tokio::time::timeout(bodies.body_time, reading).await;
}
