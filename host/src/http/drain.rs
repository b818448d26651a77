//! Middleware that reads the rest of a request's body after the request was refused. If the connection closed while the
//! client was still sending, the client would see a broken connection instead of the reply.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::middleware::Next;
use bytes::Bytes;
use hyper::body::Frame;

use super::request_body::BodyReader;
use crate::error::HandlerError;

/// A body that stays readable after the handler has dropped it.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Body>>);

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(context)
    }
}

/// Drains the body if the handler returned an error or the method is not allowed: such a handler may not have read the
/// body.
pub(crate) async fn read_unread(State(bodies): State<BodyReader>, request: Request, next: Next) -> Response<Body> {
    let (head, body) = request.into_parts();
    let shared = SharedBody(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(head, Body::new(shared.clone()))).await;
    let refused = response.extensions().get::<HandlerError>().is_some();
    if refused || response.status() == StatusCode::METHOD_NOT_ALLOWED {
        bodies.drain(Body::new(shared)).await;
    }
    response
}
