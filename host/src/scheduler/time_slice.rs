//! Time slices, which share the cores fairly: work runs only while it holds a core, and gives it up whenever it yields.
//! Guests yield at the end of each time slice, so a tenant with many long calls delays another tenant's short call by one
//! slice at most.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::fair_queue::{FairQueue, Slot, Waiter};
use super::{CallContext, Work, nanoseconds};

pub(super) struct Sliced<T> {
    cores: Arc<FairQueue>,
    call: CallContext,
    wait: Option<Waiter>,
    work: Work<T>,
}

impl<T> Sliced<T> {
    pub(super) fn new(cores: Arc<FairQueue>, call: CallContext, work: Work<T>) -> Sliced<T> {
        Sliced { cores, call, wait: None, work }
    }

    fn poll_core(&mut self, context: &mut Context<'_>) -> Poll<Slot> {
        let mut wait = match self.wait.take() {
            Some(wait) => wait,
            None => match self.cores.acquire_unbounded(&self.call.state().tenant) {
                Ok(core) => return Poll::Ready(core),
                Err(wait) => wait,
            },
        };
        let polled = Pin::new(&mut wait).poll(context);
        if polled.is_pending() {
            self.wait = Some(wait);
        }
        polled
    }
}

impl<T> Future for Sliced<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut core = ready!(self.poll_core(context));
        let began = Instant::now();
        let polled = self.work.as_mut().poll(context);
        let took = nanoseconds(began.elapsed());
        core.use_up(took);
        self.call.state().usage.cpu_nanoseconds.fetch_add(took, Ordering::Relaxed);
        polled
    }
}
