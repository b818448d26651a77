//! Inline execution: a cheap call is polled once on the I/O thread, because waking another thread, and then this one again,
//! takes longer than the call.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Panicked;

thread_local! {
    /// True while this I/O thread executes a call inline.
    static INLINE: Cell<bool> = const { Cell::new(false) };
    /// Values that are dropped after the reply is on its way.
    static DEFERRED_DROPS: RefCell<Vec<Box<dyn Any + Send>>> = const { RefCell::new(Vec::new()) };
}

/// Polls the work once. Work that is not ready after it must be polled again elsewhere, because its waker does nothing.
pub(super) fn poll<F: Future + Unpin>(work: &mut F) -> Result<Poll<F::Output>, Panicked> {
    let _guard = InlineGuard::begin();
    let mut context = Context::from_waker(Waker::noop());
    // A panic ends the work alone and does not reach the connection, as if the work were a task of its own.
    catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(&mut context))).map_err(|_| Panicked)
}

struct InlineGuard;

impl InlineGuard {
    fn begin() -> InlineGuard {
        INLINE.set(true);
        InlineGuard
    }
}

impl Drop for InlineGuard {
    fn drop(&mut self) {
        INLINE.set(false);
    }
}

/// Continues on a compute thread. Call this before CPU-bound work that does not yield.
pub async fn move_to_compute_thread() {
    // The inline poll ends here; the next poll is on a compute thread.
    std::future::poll_fn(|_| if is_inline() { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// True if the current code is executed inline, on an I/O thread.
pub(super) fn is_inline() -> bool {
    INLINE.get()
}

/// Drops a value that takes a while to drop: after the reply if a connection waits for this thread, else at once.
pub fn defer_drop(value: impl Send + 'static) {
    if is_inline() {
        DEFERRED_DROPS.with_borrow_mut(|deferred| deferred.push(Box::new(value)));
    }
}

/// Drops the deferred values in a task of their own, which is the next one on this thread when the connection's task has
/// nothing else to do. Call this after each inline poll.
pub(super) fn run_deferred_drops() {
    let deferred = DEFERRED_DROPS.take();
    if !deferred.is_empty() {
        tokio::spawn(async move { drop(deferred) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_leaves_the_io_thread() {
        let mut short = Box::pin(async { 1 });
        assert!(matches!(poll(&mut short), Ok(Poll::Ready(1))));
        let mut long = Box::pin(async {
            move_to_compute_thread().await;
            2
        });
        assert!(matches!(poll(&mut long), Ok(Poll::Pending)));
        assert_eq!(long.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(2));
    }

    #[tokio::test]
    async fn deferred_drops_run_after_the_reply() {
        let left = std::sync::Arc::new(());
        let (here, elsewhere) = (left.clone(), left.clone());
        defer_drop(elsewhere);
        assert_eq!(std::sync::Arc::strong_count(&left), 2, "not inline, so it is dropped at once");
        assert!(poll(&mut Box::pin(async move { defer_drop(here) })).unwrap().is_ready());
        run_deferred_drops();
        assert_eq!(std::sync::Arc::strong_count(&left), 2);
        tokio::task::yield_now().await;
        assert_eq!(std::sync::Arc::strong_count(&left), 1);
    }

    #[test]
    fn a_panic_ends_the_work_alone() {
        let mut panics = Box::pin(async { panic!("as an operator may") });
        assert!(poll::<Pin<Box<_>>>(&mut panics).is_err());
        assert!(!INLINE.get());
    }
}
