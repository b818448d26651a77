//! Fair cores: work runs only while it holds one, and gives it up whenever it yields. Guests yield at the end of each time
//! slice, so a tenant with many long calls holds up another one's short call by one slice at most.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::fair_queue::{Place, Share, Turn, Wait};
use super::parallel::{Crew, InHand};
use super::{Work, nanoseconds};

pub struct Sliced<T> {
    crew: Arc<Crew>,
    wait: Option<Wait>,
    work: Work<T>,
}

impl<T> Sliced<T> {
    pub fn new(crew: Arc<Crew>, work: Work<T>) -> Sliced<T> {
        Sliced { crew, wait: None, work }
    }

    fn poll_core(&mut self, context: &mut Context<'_>) -> Poll<Place> {
        let mut wait = match self.wait.take() {
            Some(wait) => wait,
            None => match self.crew.cores.turn(&self.crew.tenant, Share::WITHOUT_BOUND, usize::MAX) {
                Turn::Now(core) => return Poll::Ready(core),
                Turn::Later(wait) => wait,
                // The share has no bound that could be reached.
                Turn::TenantQueueFull | Turn::QueueFull => return Poll::Pending,
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
        let in_hand = InHand::begin(&self.crew);
        let polled = self.work.as_mut().poll(context);
        drop(in_hand);
        let took = nanoseconds(began.elapsed());
        core.use_up(took);
        self.crew.usage.cpu_nanoseconds.fetch_add(took, Ordering::Relaxed);
        polled
    }
}
