//! Inline execution: a cheap call is polled once on the I/O thread, because waking another thread, and then this one again,
//! takes longer than the call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::Panicked;
use super::call_context::CallContext;

/// Polls the work once. Work that is not ready after it must be polled again elsewhere, because its waker does nothing.
pub(super) fn poll<F: Future + Unpin>(call: &CallContext, work: &mut F) -> Result<Poll<F::Output>, Panicked> {
    let _guard = InlineGuard::begin(call);
    let mut context = Context::from_waker(Waker::noop());
    // A panic ends the work alone and does not reach the connection, as if the work were a task of its own.
    catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(&mut context))).map_err(|_| Panicked)
}

/// Marks the call's work as inline, and runs its deferred drops when the inline poll has ended.
struct InlineGuard<'a>(&'a CallContext);

impl InlineGuard<'_> {
    fn begin(call: &CallContext) -> InlineGuard<'_> {
        call.state().inline.store(true, Ordering::Relaxed);
        InlineGuard(call)
    }
}

impl Drop for InlineGuard<'_> {
    fn drop(&mut self) {
        self.0.state().inline.store(false, Ordering::Relaxed);
        self.0.run_deferred_drops();
    }
}

impl CallContext {
    /// Continues on a compute thread. Call this before CPU-bound work that does not yield.
    pub async fn move_to_compute_thread(&self) {
        // The inline poll ends here; the next poll is on a compute thread.
        std::future::poll_fn(|_| if self.is_inline() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// True if the current code is executed inline, on an I/O thread.
    pub(super) fn is_inline(&self) -> bool {
        self.state().inline.load(Ordering::Relaxed)
    }

    /// Drops a value that takes a while to drop: after the reply if a connection waits for this thread, else at once.
    pub fn defer_drop(&self, value: impl Send + 'static) {
        if self.is_inline() {
            let mut deferred = self.state().deferred_drops.lock().unwrap_or_else(PoisonError::into_inner);
            deferred.push(Box::new(value));
        }
    }

    /// Drops the deferred values in a task of their own, which is the next one on this thread when the connection's task
    /// has nothing else to do.
    fn run_deferred_drops(&self) {
        let deferred = std::mem::take(&mut *self.state().deferred_drops.lock().unwrap_or_else(PoisonError::into_inner));
        if !deferred.is_empty() {
            tokio::spawn(async move { drop(deferred) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_leaves_the_io_thread() {
        let call = CallContext::without_cores();
        let mut short = Box::pin(async { 1 });
        assert!(matches!(poll(&call, &mut short), Ok(Poll::Ready(1))));
        let mut long = Box::pin(async {
            call.move_to_compute_thread().await;
            2
        });
        assert!(matches!(poll(&call, &mut long), Ok(Poll::Pending)));
        assert_eq!(long.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(2));
    }

    #[tokio::test]
    async fn deferred_drops_run_after_the_reply() {
        let call = CallContext::without_cores();
        let left = std::sync::Arc::new(());
        let (here, elsewhere) = (left.clone(), left.clone());
        call.defer_drop(elsewhere);
        assert_eq!(std::sync::Arc::strong_count(&left), 2, "not inline, so it is dropped at once");
        assert!(poll(&call, &mut Box::pin(async { call.defer_drop(here) })).unwrap().is_ready());
        assert_eq!(std::sync::Arc::strong_count(&left), 2);
        tokio::task::yield_now().await;
        assert_eq!(std::sync::Arc::strong_count(&left), 1);
    }

    #[test]
    fn a_panic_ends_the_work_alone() {
        let call = CallContext::without_cores();
        let mut panics = Box::pin(async { panic!("as an operator may") });
        assert!(poll::<Pin<Box<_>>>(&call, &mut panics).is_err());
        assert!(!call.is_inline());
    }
}
