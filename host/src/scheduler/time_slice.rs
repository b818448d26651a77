//! Time slices, which share the cores fairly: work runs only while it holds a core, and gives it up whenever it yields.
//! Guests yield at the end of each time slice, so a tenant with many long calls delays another tenant's short call by one
//! slice at most.
//!
//! Work enters the queue for cores before it enters the queue of the runtime's threads: when it is spawned, and whenever it
//! is woken. So the order in which threads look at their tasks, which knows no tenants, decides nothing. Work that yields is
//! in the queue again before its core goes on to the next.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Instant;

use super::fair_queue::{FairQueue, Slot, Turn};
use super::{CallContext, Work, nanoseconds};

pub(super) struct Sliced<T> {
    call: CallContext,
    entry: Arc<Entry>,
    work: Work<T>,
}

/// The work's position in the queue for cores. It is the waker that the work gets.
struct Entry {
    cores: Arc<FairQueue>,
    tenant: Arc<str>,
    state: Mutex<EntryState>,
}

struct EntryState {
    /// `None` while the work runs, and while it waits for something other than a core.
    turn: Option<Turn>,
    /// The waker of the task that polls the work.
    task: Waker,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// The work waits for a core or for something else.
    Waits,
    /// The work holds a core; it enters the queue again at the end of its slice if it was woken.
    Runs { woken: bool },
    /// The work has ended. A waker that is left over must take no core.
    Ended,
}

impl<T> Sliced<T> {
    pub(super) fn new(cores: Arc<FairQueue>, call: CallContext, work: Work<T>) -> Sliced<T> {
        let state = Mutex::new(EntryState { turn: None, task: Waker::noop().clone(), phase: Phase::Waits });
        let entry = Arc::new(Entry { cores, tenant: call.state().tenant.clone(), state });
        Sliced { call, entry, work }
    }

    /// Enters the queue for cores, unless the work is in it already.
    pub(super) fn enter(&self) {
        self.entry.enter();
    }
}

impl Entry {
    /// Enters the queue for cores, and returns the waker of the task.
    fn enter(&self) -> Waker {
        let mut state = self.state();
        match state.phase {
            Phase::Waits if state.turn.is_none() => state.turn = Some(self.cores.enter(&self.tenant, usize::MAX)),
            Phase::Runs { .. } => state.phase = Phase::Runs { woken: true },
            Phase::Waits | Phase::Ended => {}
        }
        state.task.clone()
    }

    fn poll_core(&self, context: &mut Context<'_>) -> Poll<Slot> {
        let mut state = self.state();
        state.task.clone_from(context.waker());
        let core = match state.turn.take().unwrap_or_else(|| self.cores.enter(&self.tenant, usize::MAX)) {
            Turn::Granted(core) => core,
            Turn::Queued(mut wait) => match Pin::new(&mut wait).poll(context) {
                Poll::Ready(core) => core,
                Poll::Pending => {
                    state.turn = Some(Turn::Queued(wait));
                    return Poll::Pending;
                }
            },
        };
        state.phase = Phase::Runs { woken: false };
        Poll::Ready(core)
    }

    /// Ends a time slice. Call this before the core is given back.
    fn end_slice(&self) {
        let mut state = self.state();
        if state.phase == (Phase::Runs { woken: true }) {
            state.turn = Some(self.cores.enter(&self.tenant, usize::MAX));
        }
        state.phase = Phase::Waits;
    }

    /// Leaves the queue for ever.
    fn end(&self) {
        let mut state = self.state();
        state.phase = Phase::Ended;
        let turn = state.turn.take();
        drop(state);
        drop(turn);
    }

    fn state(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        self.enter().wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.enter().wake();
    }
}

impl<T> Future for Sliced<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut core = ready!(self.entry.poll_core(context));
        let began = Instant::now();
        let waker = Waker::from(self.entry.clone());
        let watched = self.call.state().cores.as_ref().map(|cores| cores.watch.begin(began));
        let polled = self.work.as_mut().poll(&mut Context::from_waker(&waker));
        drop(watched);
        let took = nanoseconds(began.elapsed());
        if polled.is_pending() {
            self.entry.end_slice();
        }
        core.use_up(took);
        self.call.state().usage.cpu_nanoseconds.fetch_add(took, Ordering::Relaxed);
        polled
    }
}

impl<T> Drop for Sliced<T> {
    fn drop(&mut self) {
        self.entry.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::call_context::Cores;

    fn sliced(cores: &Arc<FairQueue>, tenant: &str, work: Work<()>) -> Sliced<()> {
        let runtime = tokio::runtime::Handle::current();
        let call = CallContext::new(
            Cores { queue: cores.clone(), runtime, watch: Arc::default() },
            tenant.into(),
            Arc::default(),
        );
        Sliced::new(cores.clone(), call, work)
    }

    fn poll(work: &mut Sliced<()>) -> Poll<()> {
        Pin::new(work).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Work that yields once.
    fn yields() -> Work<()> {
        let mut yielded = false;
        Box::pin(std::future::poll_fn(move |context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    fn core(cores: &Arc<FairQueue>, tenant: &str) -> Slot {
        cores.try_acquire(&tenant.into(), usize::MAX).unwrap()
    }

    #[tokio::test]
    async fn work_is_in_the_queue_before_a_thread_polls_it() {
        let cores = FairQueue::new(1);
        let busy = core(&cores, "hog");
        let (mut hog, mut newcomer) = (sliced(&cores, "hog", yields()), sliced(&cores, "newcomer", yields()));
        assert!(poll(&mut hog).is_pending());
        newcomer.enter();
        let mut used = busy;
        used.use_up(1);
        drop(used);
        // The core is the newcomer's, although no thread has polled its work yet.
        assert_eq!((cores.held_by("newcomer"), cores.held_by("hog")), (1, 0));
        assert!(poll(&mut newcomer).is_pending());
        drop(newcomer);
        assert_eq!(cores.held_by("hog"), 1);
    }

    #[tokio::test]
    async fn work_that_yields_is_in_the_queue_before_its_core_goes_on() {
        let cores = FairQueue::new(1);
        let mut hogs = core(&cores, "hog");
        let (mut hog, mut modest) = (sliced(&cores, "hog", yields()), sliced(&cores, "modest", yields()));
        modest.enter();
        hog.enter();
        hogs.use_up(u64::MAX >> 1);
        drop(hogs);
        assert!(poll(&mut modest).is_pending(), "it yields");
        assert_eq!(cores.held_by("modest"), 1, "it has used less than the tenant that waits");
        assert!(poll(&mut hog).is_pending());
        assert!(poll(&mut modest).is_ready());
        drop(modest);
        assert_eq!(cores.held_by("hog"), 1);
        assert!(poll(&mut hog).is_pending() && poll(&mut hog).is_ready());
    }

    #[tokio::test]
    async fn a_waker_that_is_left_over_takes_no_core() {
        let cores = FairQueue::new(1);
        let (sender, receiver) = std::sync::mpsc::channel();
        let work = std::future::poll_fn(move |context| {
            sender.send(context.waker().clone()).unwrap();
            Poll::Ready(())
        });
        let mut work = sliced(&cores, "a", Box::pin(work));
        assert!(poll(&mut work).is_ready());
        drop(work);
        receiver.recv().unwrap().wake();
        assert_eq!((cores.free(), cores.held_by("a")), (1, 0));
    }
}
