//! The timeout for replies that a client does not take: tracks the unsent pieces of a connection's replies, and since when
//! they wait. Such a client holds memory that others may need, so its connection ends. Over HTTP/2 a client can leave one
//! stream unread while it takes others, so the pieces of each reply are watched and not the connection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The replies of one connection that are in progress.
#[derive(Clone, Default)]
pub(crate) struct ReplyWatch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<WatchState>,
    begun: Notify,
}

#[derive(Default)]
struct WatchState {
    replies: HashMap<u64, Reply>,
    next: u64,
    /// True if `overdue` waits for the oldest reply to be due, and so need not be notified.
    watched: bool,
}

/// State of a reply that the client may not have taken in full.
struct Reply {
    /// Start of the wait; `None` if the client has taken everything so far.
    since: Option<Instant>,
    /// Pieces that were handed to hyper and are not sent yet.
    pieces: usize,
    /// True if the body has no piece to hand out at the moment, or has ended.
    resting: bool,
    ended: bool,
}

impl ReplyWatch {
    /// Wraps a response's body, so that each piece is watched until it was sent.
    pub(super) fn watch(&self, response: Response<Body>) -> Response<WatchedBody> {
        response.map(|body| {
            let reply = (!body.is_end_stream()).then(|| self.begin());
            WatchedBody { body, reply }
        })
    }

    /// Waits until some reply has been waiting for the client for `bound`.
    pub(super) async fn overdue(&self, bound: Duration) {
        loop {
            match self.oldest() {
                None => self.0.begun.notified().await,
                Some(since) if since.elapsed() >= bound => return,
                Some(since) => tokio::time::sleep_until(since + bound).await,
            }
        }
    }

    fn oldest(&self) -> Option<Instant> {
        let mut state = self.state();
        let oldest = state.replies.values().filter_map(|reply| reply.since).min();
        state.watched = oldest.is_some();
        oldest
    }

    fn begin(&self) -> ReplyHandle {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.replies.insert(id, Reply { since: Some(Instant::now()), pieces: 0, resting: false, ended: false });
        self.wake(&mut state);
        ReplyHandle { reply_watch: self.clone(), id }
    }

    fn wake(&self, state: &mut WatchState) {
        if !std::mem::replace(&mut state.watched, true) {
            self.0.begun.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ReplyHandle {
    reply_watch: ReplyWatch,
    id: u64,
}

impl ReplyHandle {
    fn gives(&self) {
        self.change(|reply| {
            reply.pieces += 1;
            reply.resting = false;
            reply.since = Some(Instant::now());
        });
    }

    fn rests(&self) {
        self.change(|reply| reply.resting = true);
    }

    fn ends(&self) {
        self.change(|reply| (reply.resting, reply.ended) = (true, true));
    }

    fn sent(&self) {
        self.change(|reply| reply.pieces -= 1);
    }

    fn change(&self, change: impl FnOnce(&mut Reply)) {
        let mut state = self.reply_watch.state();
        let Some(reply) = state.replies.get_mut(&self.id) else { return };
        change(reply);
        if reply.resting && reply.pieces == 0 {
            reply.since = None;
        }
        let (waits, gone) = (reply.since.is_some(), reply.ended && reply.pieces == 0);
        if gone {
            state.replies.remove(&self.id);
        } else if waits {
            self.reply_watch.wake(&mut state);
        }
    }
}

/// A reply's body whose pieces are watched.
pub(super) struct WatchedBody {
    body: Body,
    /// `None` if the body is empty.
    reply: Option<ReplyHandle>,
}

struct WatchedPiece {
    bytes: Bytes,
    reply: ReplyHandle,
}

impl AsRef<[u8]> for WatchedPiece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for WatchedPiece {
    fn drop(&mut self) {
        self.reply.sent();
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if let Some(reply) = &self.reply {
            reply.ends();
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let Some(reply) = &self.reply else { return polled };
        match polled {
            Poll::Pending => {
                reply.rests();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame.map_data(|bytes| {
                reply.gives();
                Bytes::from_owner(WatchedPiece {
                    bytes,
                    reply: ReplyHandle { reply_watch: reply.reply_watch.clone(), id: reply.id },
                })
            })))),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// True if some reply waits: with a bound of zero it is overdue at once.
    fn is_overdue(reply_watch: &ReplyWatch) -> bool {
        reply_watch.overdue(Duration::ZERO).now_or_never().is_some()
    }

    fn next(body: &mut WatchedBody) -> Poll<Option<Bytes>> {
        let polled = Pin::new(body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
        polled.map(|frame| frame.map(|frame| frame.unwrap().into_data().unwrap()))
    }

    #[test]
    fn a_reply_that_is_not_taken_is_overdue() {
        let reply_watch = ReplyWatch::default();
        assert!(!is_overdue(&reply_watch));
        let never_asked_for = reply_watch.watch(Response::new(Body::from("reply")));
        assert!(is_overdue(&reply_watch));
        let mut body = never_asked_for.into_body();
        let Poll::Ready(Some(piece)) = next(&mut body) else { panic!("no piece") };
        drop(body);
        assert!(is_overdue(&reply_watch), "the piece was handed out and is not sent");
        drop(piece);
        assert!(!is_overdue(&reply_watch));
        assert!(reply_watch.state().replies.is_empty());
    }

    #[test]
    fn a_stream_may_pause_but_its_client_may_not() {
        let reply_watch = ReplyWatch::default();
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
        let stream =
            futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let mut body = reply_watch.watch(Response::new(Body::from_stream(Box::pin(stream)))).into_body();
        assert!(next(&mut body).is_pending());
        assert!(!is_overdue(&reply_watch));
        sender.send(Ok(Bytes::from_static(b"event"))).unwrap();
        let Poll::Ready(Some(piece)) = next(&mut body) else { panic!("no piece") };
        assert!(next(&mut body).is_pending());
        drop(piece);
        assert!(!is_overdue(&reply_watch), "the client has all that there is");
        sender.send(Ok(Bytes::from_static(b"event"))).unwrap();
        let Poll::Ready(Some(_unsent)) = next(&mut body) else { panic!("no piece") };
        assert!(is_overdue(&reply_watch));
    }
}
