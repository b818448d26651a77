//! Bodies of gRPC requests while they arrive, bounded in size and time. Each byte counts within `http.buffered-bytes` from
//! its arrival until its message has been computed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use crate::error::ApiError;
use crate::http::buffer_budget::{BufferBudget, BufferPermit};

/// The bytes of a body that arrived and were not taken as messages yet, with their share of the buffer budget.
pub struct Inbox {
    budget: BufferBudget,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    bytes: usize,
    permit: BufferPermit,
    /// Latest time at which the message that is arriving can have begun.
    since: Instant,
}

/// Length in bytes of a message's prefix on the wire: the flag for compression, and the message's length.
const PREFIX: usize = 5;

impl Inbox {
    pub fn new(budget: BufferBudget) -> Inbox {
        let waiting = Waiting { bytes: 0, permit: BufferPermit::default(), since: Instant::now() };
        Inbox { budget, waiting: Mutex::new(waiting) }
    }

    /// Counts bytes as they arrive, and not as they are announced, so that a client that announces a large message and
    /// sends nothing takes no budget.
    fn receive(&self, bytes: usize) -> Result<(), ApiError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes == 0 {
            waiting.since = Instant::now();
        }
        let all = waiting.bytes + bytes;
        self.budget.grow(&mut waiting.permit, all)?;
        waiting.bytes = all;
        Ok(())
    }

    /// Takes the message that was read last. It counts for as long as any of its bytes are held.
    pub fn take(&self, message: Bytes) -> Result<Bytes, ApiError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.bytes.min(message.len() + PREFIX);
        waiting.bytes -= taken;
        waiting.since = Instant::now();
        let still = waiting.bytes;
        let mut permit = waiting.permit.split_beyond(still);
        // A message that came compressed is larger than the bytes that arrived.
        self.budget.grow(&mut permit, message.len())?;
        Ok(permit.hold(message))
    }

    /// Time since which a message has been arriving; `None` if no message is.
    fn arriving_since(&self) -> Option<Instant> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        (waiting.bytes > 0).then_some(waiting.since)
    }
}

/// The kind of a body, which determines its bounds on size and time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// One message that carries tensors, within `http.request-bytes` and `http.body-time`.
    Tensors,
    /// One message of a few fields, within [`SMALL`] and `http.body-time`.
    Small,
    /// Any number of messages, with any pause between them; `http.body-time` is for each message.
    Stream,
}

/// Upper bound in bytes on a message without tensors, more than any such call needs. It bounds the memory of generated
/// code, which allocates for each field.
pub(crate) const SMALL: u64 = 64 << 10;

/// The bounds on a body.
pub(crate) struct Bounds {
    pub extent: Extent,
    /// `http.request-bytes`.
    pub request_bytes: u64,
    /// `http.body-time`.
    pub body_time: Duration,
    /// The client's own deadline.
    pub deadline: Option<Instant>,
}

/// A body that is counted and bounded while it is read. `refuse` makes the status of an error, with which the body ends.
pub(crate) struct CountedBody<F> {
    body: Body,
    inbox: Arc<Inbox>,
    bounds: Bounds,
    refuse: F,
    received: u64,
    began: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Fn(ApiError) -> Status> CountedBody<F> {
    pub(crate) fn new(body: Body, inbox: Arc<Inbox>, bounds: Bounds, refuse: F) -> CountedBody<F> {
        CountedBody { body, inbox, bounds, refuse, received: 0, began: Instant::now(), timer: None }
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), ApiError> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.received += bytes as u64;
        let bound = self.bounds.request_bytes;
        match self.bounds.extent {
            Extent::Small if self.received > SMALL => Err(ApiError::BodyNotSmall { bound: SMALL }),
            Extent::Tensors if self.received > bound + PREFIX as u64 => Err(ApiError::BodyTooLarge { bound }),
            _ => self.inbox.receive(bytes),
        }
    }

    /// Checks the time while no bytes arrive: an error once `http.body-time` or the client's own deadline has passed.
    fn too_slow(&mut self, context: &mut Context) -> Poll<ApiError> {
        let waited = self.bounds.body_time;
        let since = match self.bounds.extent {
            Extent::Stream => self.inbox.arriving_since(),
            Extent::Tensors | Extent::Small => Some(self.began),
        };
        let (slow, deadline) = (since.map(|since| since + waited), self.bounds.deadline);
        let Some(due) = slow.into_iter().chain(deadline).min() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        let error = if deadline == Some(due) { ApiError::Deadline } else { ApiError::BodyTooSlow { waited } };
        timer.as_mut().poll(context).map(|()| error)
    }
}

impl<F: Fn(ApiError) -> Status + Unpin> HttpBody for CountedBody<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let counted = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => self.count(&frame).map(|()| frame),
            Poll::Ready(Some(Err(_))) => Err(ApiError::BodyTorn),
            Poll::Pending => match self.too_slow(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(error) => Err(error),
            },
        };
        Poll::Ready(Some(counted.map_err(&self.refuse)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
