//! Admission control and the compute threads. A bounded number of calls runs at once, behind a bounded queue that is fair
//! between tenants, on threads that do nothing else, so that a long computation never holds up a connection. A call that is
//! over before another thread would have woken up stays on the I/O thread (`inline`). The cores are shared fairly, too:
//! when a guest yields at the end of its time slice, the tenant that has used the least goes on. A thread that waits for a graph
//! does not yield, so there are further threads for tenants of which none computes.

mod admission;
mod call_context;
mod counted;
mod fair_queue;
pub(crate) mod fair_share;
mod inline;
mod parallel;
mod permit;
#[cfg(test)]
mod tests;
mod time_slice;
mod turns;
mod watchdog;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use call_context::Cores;
use fair_queue::FairQueue;
use time_slice::Sliced;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};

use crate::config::Compute as ComputeConfig;
use crate::telemetry::Metrics;
use crate::tenant::ModelUsage;

pub use admission::AdmissionError;
pub use call_context::CallContext;
pub use permit::Permit;
pub use turns::{HeldTurn, Party, Turns};

/// The compute threads, and the queues of calls that wait for them.
pub struct Compute {
    runtime: Option<Runtime>,
    slots: Arc<FairQueue>,
    /// The open streams, with slots of their own.
    streams: Arc<FairQueue>,
    cores: Cores,
    config: ComputeConfig,
    metrics: Arc<Metrics>,
    /// Number of consecutive calls that found no other call running.
    lonely: AtomicU64,
}

/// Number of consecutive calls without another one after which the next is expected to be alone, too.
const LONELY: u64 = 16;

/// The work of a call. It is large, so it is boxed where it is made: each move would be a copy of it.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The thread on which the work of a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On a compute thread.
    ComputeThread,
    /// On the caller's thread, if the model's recent calls were cheap and calls come one at a time: fairness between calls
    /// is decided in the queues. The work goes to a compute thread after its first time slice, and at a call of
    /// [`CallContext::move_to_compute_thread`].
    Inline,
}

/// The work of a call panicked. The log has the panic, and no other work was affected.
#[derive(Debug, thiserror::Error)]
#[error("the computation ended unexpectedly")]
pub struct Panicked;

impl Compute {
    pub fn new(config: &ComputeConfig, metrics: Arc<Metrics>) -> std::io::Result<Compute> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads + config.newcomer_threads())
            .thread_name("compute")
            .enable_all()
            .build()?;
        let cores = FairQueue::with_newcomers(config.threads, config.newcomer_threads());
        let cores = Cores { queue: cores, runtime: runtime.handle().clone(), watch: Arc::default() };
        Ok(Compute {
            runtime: Some(runtime),
            slots: FairQueue::with_newcomers(config.concurrency, config.newcomers()),
            streams: FairQueue::new(config.streams),
            cores,
            config: config.clone(),
            metrics,
            lonely: AtomicU64::new(0),
        })
    }

    /// Runs the work of a call. If the caller drops this future, the work is dropped at its next yield. The permit ends
    /// with the work and not with this future: a caller that waits for a slow client would keep the slot.
    pub async fn run<T: Send + 'static>(
        &self,
        permit: Permit,
        placement: Placement,
        work: impl FnOnce(Permit) -> Work<T>,
    ) -> Result<T, Panicked> {
        let quiet = self.meets_nobody();
        let is_inline = placement == Placement::Inline && quiet && permit.usage.recent_cost.is_cheap();
        let context = permit.context.clone();
        let mut work = self.slice(context.clone(), work(permit));
        if is_inline && let Poll::Ready(output) = inline::poll(&context, &mut work)? {
            return Ok(output);
        }
        self.spawn(work).await
    }

    /// Runs work other than a call, such as an activation, in the tenant's turns.
    pub async fn run_background<T: Send + 'static>(&self, tenant: &Arc<str>, work: Work<T>) -> Result<T, Panicked> {
        self.spawn(self.slice(self.context(tenant.clone(), Arc::default()), work)).await
    }

    /// Starts the work of a call, for a caller that waits for something else in the meantime.
    pub fn start<T: Send + 'static>(&self, permit: Permit, work: impl FnOnce(Permit) -> Work<T>) -> Task<T> {
        let context = permit.context.clone();
        self.spawn(self.slice(context, work(permit)))
    }

    /// Looks at the compute threads each second until this is dropped. Passes to `report` for how long each thread has been
    /// busy that has not come back within `bound`.
    pub fn watch(&self, bound: Duration, report: impl FnMut(&[Duration]) + Send + 'static) -> std::io::Result<()> {
        self.cores.watch.start(bound, report)
    }

    /// True if calls come one at a time: this call found no other one running, and neither did many before it. If calls
    /// meet, handing them to compute threads gains more than it costs, because each thread stays with the same code and
    /// seldom sleeps.
    fn meets_nobody(&self) -> bool {
        if self.slots.free() + 1 < self.config.concurrency {
            self.lonely.store(0, Ordering::Relaxed);
            return false;
        }
        self.lonely.fetch_add(1, Ordering::Relaxed) >= LONELY
    }

    fn context(&self, tenant: Arc<str>, usage: Arc<ModelUsage>) -> CallContext {
        CallContext::new(self.cores.clone(), tenant, usage)
    }

    fn slice<T>(&self, context: CallContext, work: Work<T>) -> Sliced<T> {
        Sliced::new(self.cores.queue.clone(), context, work)
    }

    fn spawn<T: Send + 'static>(&self, work: Sliced<T>) -> Task<T> {
        work.enter();
        Task(self.runtime.as_ref().map(|runtime| runtime.spawn(work)))
    }
}

/// Runs a future on the caller's runtime, whether or not the caller polls the task; dropping the task ends it.
pub fn unattended<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(Some(tokio::spawn(work)))
}

impl Drop for Compute {
    fn drop(&mut self) {
        // A runtime must not be dropped within another runtime; this one shuts down in the background.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Handle to work in progress; dropping it ends the work.
pub struct Task<T>(Option<JoinHandle<T>>);

impl<T> Future for Task<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(task) => Pin::new(task).poll(context).map_err(|_: JoinError| Panicked),
            None => Poll::Ready(Err(Panicked)),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
