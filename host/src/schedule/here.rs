//! The first turn of a light call, on the thread of its connection: waking another thread, and this one again, takes
//! longer than the call.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Panicked;

thread_local! {
    /// Whether this thread computes for a connection that it holds.
    static HERE: Cell<bool> = const { Cell::new(false) };
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
    std::future::poll_fn(|_| if HERE.get() { Poll::Pending } else { Poll::Ready(()) }).await;
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

    #[test]
    fn a_panic_ends_the_work_alone() {
        let mut panics = Box::pin(async { panic!("as an operator may") });
        assert!(poll::<Pin<Box<_>>>(&mut panics).is_err());
        assert!(!HERE.get());
    }
}
