//! Bodies of gRPC replies. A message counts within `http.buffered-bytes` from when it is encoded until it has been sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;

use crate::error::ApiError;
use crate::http::buffer_budget::BufferBudget;

/// A body that is charged to a budget. `refuse` makes the status of an error, with which the body ends.
pub(super) struct Outgoing<F> {
    body: Body,
    budget: BufferBudget,
    refuse: F,
    refused: bool,
}

impl<F: Fn(ApiError) -> Status> Outgoing<F> {
    pub(super) fn new(body: Body, budget: BufferBudget, refuse: F) -> Outgoing<F> {
        Outgoing { body, budget, refuse, refused: false }
    }

    /// Counts a message within the buffer budget. If it does not fit, the call ends, and its status is sent instead.
    fn count(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data().map(|data| self.budget.hold(data)) {
            Ok(Ok(data)) => Frame::data(data),
            Ok(Err(error)) => self.end(error),
            Err(trailers) => trailers,
        }
    }

    fn end(&mut self, error: ApiError) -> Frame<Bytes> {
        self.refused = true;
        let mut trailers = HeaderMap::new();
        // Fields of the status that are not valid in a header are left out.
        let _ = (self.refuse)(error).add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl<F: Fn(ApiError) -> Status + Unpin> HttpBody for Outgoing<F> {
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
