//! Replies to inference requests over HTTP: JSON, followed by binary tensors, which are sent without a copy.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;

use super::binary_header::BINARY_HEADER;
use super::buffer_budget::BufferBudget;
use super::compression::Coding;
use crate::codec::json::writer::Encoded;
use crate::error::ApiError;

/// A reply with a small JSON object, not compressed.
pub(crate) fn json(object: &impl Serialize) -> Response<Body> {
    // serde_json fails only for maps whose keys are not text, and there are none here.
    let mut response = Response::new(Body::from(serde_json::to_vec(object).unwrap_or_default()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

const JSON: &str = "application/json";

/// The form in which a client gets the response of a model.
pub(crate) struct Replying {
    pub coding: Coding,
    /// Budget that the reply is charged to until it was sent.
    pub buffers: BufferBudget,
}

impl Replying {
    /// The HTTP reply with a model's response, compressed as the client prefers if that makes it smaller. Compression runs
    /// on the calling thread. Fails if the buffer budget has no room for the reply.
    pub(crate) fn inference(&self, encoded: Encoded) -> Result<Response<Body>, ApiError> {
        let json_length = encoded.binary.then(|| encoded.json.iter().map(Bytes::len).sum::<usize>());
        let mut chunks = encoded.json;
        chunks.extend(encoded.tensors);
        let (body, coding) = match self.coding.pack(&chunks) {
            Some(packed) => (Body::from(self.buffers.hold(packed)?), self.coding),
            None => {
                let chunks = chunks.into_iter().map(|chunk| self.buffers.hold(chunk));
                (Body::new(Chunks(chunks.collect::<Result<_, _>>()?)), Coding::Identity)
            }
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        let content_type = if json_length.is_some() { "application/octet-stream" } else { JSON };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(length) = json_length {
            headers.insert(BINARY_HEADER, length.into());
        }
        if coding != Coding::Identity {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        Ok(response)
    }
}

/// A body of chunks that are sent one after the other and never copied into one buffer.
struct Chunks(VecDeque<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|chunk| chunk.len() as u64).sum())
    }
}
