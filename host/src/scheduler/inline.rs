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
    static HERE: Cell<bool> = const { Cell::new(false) };
    /// What can wait until the answer is on its way.
    static PUT_OFF: RefCell<Vec<Box<dyn Any + Send>>> = const { RefCell::new(Vec::new()) };
}

/// One turn. Work that is not ready after it has to be polled again: nobody will be told when it could go on.
pub(super) fn poll<F: Future + Unpin>(work: &mut F) -> Result<Poll<F::Output>, Panicked> {
    let _here = Here::begin();
    let mut context = Context::from_waker(Waker::noop());
    // As a task of its own would have it: what panicked is dropped, and the connection knows nothing of it.
    catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(&mut context))).map_err(|_| Panicked)
}

struct Here;

impl Here {
    fn begin() -> Here {
        HERE.set(true);
        Here
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        HERE.set(false);
    }
}

/// Goes on on a compute thread. To be said before whatever takes long and does not yield.
pub async fn aside() {
    // Polled again, it is on one.
    std::future::poll_fn(|_| if is_here() { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// Whether this thread is a connection's.
pub(super) fn is_here() -> bool {
    HERE.get()
}

/// Drops what is left of work, which takes a while: now, or behind the answer where one waits for this thread.
pub fn put_off(remains: impl Send + 'static) {
    if is_here() {
        PUT_OFF.with_borrow_mut(|put_off| put_off.push(Box::new(remains)));
    }
}

/// To be said after each turn. What was put off is dropped when the connection's task has nothing else to do: it comes next
/// on this thread.
pub(super) fn clear_away() {
    let put_off = PUT_OFF.take();
    if !put_off.is_empty() {
        tokio::spawn(async move { drop(put_off) });
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
            aside().await;
            2
        });
        assert!(matches!(poll(&mut long), Ok(Poll::Pending)));
        assert_eq!(long.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(2));
    }

    #[tokio::test]
    async fn what_is_left_goes_behind_the_answer() {
        let left = std::sync::Arc::new(());
        let (here, elsewhere) = (left.clone(), left.clone());
        put_off(elsewhere);
        assert_eq!(std::sync::Arc::strong_count(&left), 2, "where nobody waits for the thread it is dropped at once");
        assert!(poll(&mut Box::pin(async move { put_off(here) })).unwrap().is_ready());
        clear_away();
        assert_eq!(std::sync::Arc::strong_count(&left), 2);
        tokio::task::yield_now().await;
        assert_eq!(std::sync::Arc::strong_count(&left), 1);
    }

    #[test]
    fn a_panic_ends_the_work_alone() {
        let mut panics = Box::pin(async { panic!("as an operator may") });
        assert!(poll::<Pin<Box<_>>>(&mut panics).is_err());
        assert!(!HERE.get());
    }
}
