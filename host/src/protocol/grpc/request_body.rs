//! Bodies of gRPC requests while they arrive: bounded in size and time, and counted within `http.buffered-bytes` from a
//! byte's arrival until its message was computed.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::admission::GrpcCall;
use crate::error::ApiError;
use crate::http::buffer_budget::{BufferBudget, BufferPermit};

/// What arrived of a body and was not taken out as messages yet.
pub struct Inbox {
    room: BufferBudget,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    bytes: usize,
    room: BufferPermit,
    /// When the message that is arriving began to, at the latest.
    since: Instant,
}

/// A message's prefix on the wire: whether it is compressed, and its length.
const PREFIX: usize = 5;

impl Inbox {
    pub fn new(room: BufferBudget) -> Inbox {
        Inbox { room, waiting: Mutex::new(Waiting { bytes: 0, room: BufferPermit::default(), since: Instant::now() }) }
    }

    /// As bytes arrive, not as they are announced: who announces much and sends nothing takes nothing.
    fn receive(&self, bytes: usize) -> Result<(), ApiError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes == 0 {
            waiting.since = Instant::now();
        }
        let all = waiting.bytes + bytes;
        self.room.grow(&mut waiting.room, all)?;
        waiting.bytes = all;
        Ok(())
    }

    /// The message that was read last, counted for as long as anyone holds any of its bytes.
    pub fn take(&self, message: Bytes) -> Result<Bytes, ApiError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.bytes.min(message.len() + PREFIX);
        waiting.bytes -= taken;
        waiting.since = Instant::now();
        let still = waiting.bytes;
        let mut room = waiting.room.split_beyond(still);
        // A message that came compressed is larger than what arrived.
        self.room.grow(&mut room, message.len())?;
        Ok(room.hold(message))
    }

    /// Since when something has been arriving; `None` where nothing is.
    fn arriving_since(&self) -> Option<Instant> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        (waiting.bytes > 0).then_some(waiting.since)
    }
}

/// How much of a body may come, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// One message that carries tensors.
    Tensors,
    /// One message of a few fields.
    Small,
    /// Any number of messages, with any pause between them.
    Stream,
}

/// More than any call without tensors needs; its message is read into one allocation for each field.
pub const SMALL: u64 = 64 << 10;

/// A body that is counted and bounded while it is read.
pub struct CountedBody {
    body: Body,
    caller: GrpcCall,
    extent: Extent,
    received: u64,
    began: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl CountedBody {
    pub fn new(body: Body, caller: GrpcCall, extent: Extent) -> CountedBody {
        CountedBody { body, caller, extent, received: 0, began: Instant::now(), timer: None }
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), ApiError> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.received += bytes as u64;
        let bound = self.caller.app().http.request_bytes;
        match self.extent {
            Extent::Small if self.received > SMALL => Err(ApiError::BodyNotSmall { bound: SMALL }),
            Extent::Tensors if self.received > bound + PREFIX as u64 => Err(ApiError::BodyTooLarge { bound }),
            _ => self.caller.inbox().receive(bytes),
        }
    }

    /// Nothing comes now: has the sender been at it for too long, by our clock or by its own?
    fn too_slow(&mut self, context: &mut Context) -> Poll<ApiError> {
        let waited = self.caller.app().http.body_time;
        let since = match self.extent {
            Extent::Stream => self.caller.inbox().arriving_since(),
            Extent::Tensors | Extent::Small => Some(self.began),
        };
        let (slow, deadline) = (since.map(|since| since + waited), self.caller.deadline());
        let Some(due) = slow.into_iter().chain(deadline).min() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        let problem = if deadline == Some(due) { ApiError::Deadline } else { ApiError::BodyTooSlow { waited } };
        timer.as_mut().poll(context).map(|()| problem)
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let counted = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => self.count(&frame).map(|()| frame),
            Poll::Ready(Some(Err(_))) => Err(ApiError::BodyTorn),
            Poll::Pending => match self.too_slow(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(problem) => Err(problem),
            },
        };
        Poll::Ready(Some(counted.map_err(|problem| self.caller.refuse_call(problem))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
