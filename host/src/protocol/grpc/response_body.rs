//! Bodies of gRPC replies: a message counts within `http.buffered-bytes` from when it is made until it was sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::admission::GrpcCall;
use crate::error::ApiError;

pub struct Outgoing {
    body: Body,
    caller: GrpcCall,
    refused: bool,
}

impl Outgoing {
    pub fn new(body: Body, caller: GrpcCall) -> Outgoing {
        Outgoing { body, caller, refused: false }
    }

    /// A message for which there is no room ends the call: its status stands in its place.
    fn count(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data().map(|data| self.caller.room().hold(data)) {
            Ok(Ok(data)) => Frame::data(data),
            Ok(Err(problem)) => self.end(problem),
            Err(trailers) => trailers,
        }
    }

    fn end(&mut self, problem: ApiError) -> Frame<Bytes> {
        self.refused = true;
        let mut trailers = HeaderMap::new();
        // What of a refusal cannot stand in a header does not stand in it.
        let _ = self.caller.refuse_call(problem).add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.refused {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map(|frame| frame.map(|frame| frame.map(|frame| self.count(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.refused || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
