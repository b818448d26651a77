//! The first turn of a light call, on the thread of its connection: waking another thread, and this one again, takes
//! longer than the call.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Panicked;

thread_local! {
    /// Whether this thread computes for a connection that it holds.
    static INLINE: Cell<bool> = const { Cell::new(false) };
    /// What can wait until the answer is on its way.
    static DEFERRED_DROPS: RefCell<Vec<Box<dyn Any + Send>>> = const { RefCell::new(Vec::new()) };
}

/// One turn. Work that is not ready after it has to be polled again: nobody will be told when it could go on.
pub(super) fn poll<F: Future + Unpin>(work: &mut F) -> Result<Poll<F::Output>, Panicked> {
    let _here = InlineGuard::begin();
    let mut context = Context::from_waker(Waker::noop());
    // As a task of its own would have it: what panicked is dropped, and the connection knows nothing of it.
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

/// Goes on on a compute thread. To be said before whatever takes long and does not yield.
pub async fn move_to_compute_thread() {
    // Polled again, it is on one.
    std::future::poll_fn(|_| if is_inline() { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// Whether this thread is a connection's.
pub(super) fn is_inline() -> bool {
    INLINE.get()
}

/// Drops what is left of work, which takes a while: now, or behind the answer where one waits for this thread.
pub fn defer_drop(remains: impl Send + 'static) {
    if is_inline() {
        DEFERRED_DROPS.with_borrow_mut(|deferred| deferred.push(Box::new(remains)));
    }
}

/// To be said after each turn. What was put off is dropped when the connection's task has nothing else to do: it comes next
/// on this thread.
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
    fn what_takes_long_goes_aside() {
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
    async fn what_is_left_goes_behind_the_answer() {
        let left = std::sync::Arc::new(());
        let (here, elsewhere) = (left.clone(), left.clone());
        defer_drop(elsewhere);
        assert_eq!(std::sync::Arc::strong_count(&left), 2, "where nobody waits for the thread it is dropped at once");
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
