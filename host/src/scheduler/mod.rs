//! Who computes when: a bounded number of calls at once, a bounded queue before them that is fair between tenants, and
//! threads that do nothing else, so that a long computation never holds up a connection. What is over before another
//! thread has woken up stays on the thread of its connection (`inline`). The cores are shared fairly, too: a guest that
//! yields at the end of its time slice lets the tenant go on that has used the least.

mod fair_queue;
mod inline;
mod parallel;
mod time_slice;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fair_queue::{Acquire, FairQueue, Share, Slot};
use parallel::CallContext;
use time_slice::Sliced;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};

use crate::config::Compute as ComputeConfig;
use crate::telemetry::Metrics;
use crate::tenant::{ModelUsage, OutOfFuel, Tenant};

pub use inline::{defer_drop, move_to_compute_thread};
pub use parallel::parallel_map;

/// The compute threads and the queue before them.
pub struct Compute {
    runtime: Option<Runtime>,
    slots: Arc<FairQueue>,
    cores: Arc<FairQueue>,
    concurrency: usize,
    queue: usize,
    queue_time: Duration,
    metrics: Arc<Metrics>,
    /// Calls in a row that met no other.
    lonely: AtomicU64,
}

/// So many calls in a row were alone that the next one will be.
const LONELY: u64 = 16;

/// A tenant's place among the calls that run. Whoever holds one may compute; dropping it lets the next one in, and counts
/// what was used.
pub struct Permit {
    pub tenant: Arc<Tenant>,
    /// What the call uses is counted here.
    pub usage: Arc<ModelUsage>,
    /// How long it waited for its place.
    pub waited: Duration,
    slot: Slot,
    admitted: Instant,
    metrics: Arc<Metrics>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.slot.use_up(nanoseconds(self.admitted.elapsed()));
        self.metrics.in_flight.dec();
    }
}

/// There was no place for a call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdmissionError {
    #[error("{concurrency} calls are running and {queue} are waiting, which is as many as may (compute.queue)")]
    QueueFull { concurrency: usize, queue: usize },
    #[error("no place among {concurrency} running calls came free within {} (compute.queue-time)", humantime::format_duration(*.waited))]
    TooLong { concurrency: usize, waited: Duration },
    #[error(
        "{queue} calls of the tenant are waiting (queue), and {concurrency} may run at once (concurrency); send fewer at once"
    )]
    TenantQueueFull { concurrency: usize, queue: usize },
    #[error("no place among the tenant's {concurrency} running calls (concurrency) came free within {} (compute.queue-time)", humantime::format_duration(*.waited))]
    TenantTooLong { concurrency: usize, waited: Duration },
    #[error(transparent)]
    OutOfFuel(#[from] OutOfFuel),
}

/// What a call does. It is large, so it is made where it stays: each move would be a copy of it.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where the work of a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On a compute thread.
    ComputeThread,
    /// On the thread that asks, where the model's calls are light and come one at a time: what is fair between calls is
    /// decided in the queues. It goes on on a compute thread after its first time slice, and before whatever
    /// says [`move_to_compute_thread`].
    Inline,
}

/// Work on the compute threads panicked. It is logged where it happened; nothing else was touched.
#[derive(Debug, thiserror::Error)]
#[error("the computation ended unexpectedly")]
pub struct Panicked;

impl Compute {
    pub fn new(config: &ComputeConfig, metrics: Arc<Metrics>) -> std::io::Result<Compute> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads)
            .thread_name("compute")
            .enable_all()
            .build()?;
        Ok(Compute {
            runtime: Some(runtime),
            slots: FairQueue::new(config.concurrency),
            cores: FairQueue::new(config.threads),
            concurrency: config.concurrency,
            queue: config.queue,
            queue_time: config.queue_time,
            metrics,
            lonely: AtomicU64::new(0),
        })
    }

    /// Waits for a place; refuses where the tenant has burnt its fuel, the queue is full or the wait too long.
    pub async fn admit(&self, tenant: &Arc<Tenant>, usage: Arc<ModelUsage>) -> Result<Permit, AdmissionError> {
        let began = Instant::now();
        tenant.check_fuel()?;
        let limits = tenant.limits();
        let share = Share { slots: limits.concurrency, queue: limits.queue };
        let slot = match self.slots.acquire(&tenant.name, share, self.queue) {
            Acquire::Granted(slot) => slot,
            Acquire::Queued(wait) => {
                let slot = self.wait(wait, share).await?;
                // Those before it may have burnt all that there was.
                tenant.check_fuel()?;
                slot
            }
            Acquire::TenantQueueFull => {
                return Err(AdmissionError::TenantQueueFull { concurrency: share.slots, queue: share.queue });
            }
            Acquire::QueueFull => {
                return Err(AdmissionError::QueueFull { concurrency: self.concurrency, queue: self.queue });
            }
        };
        self.metrics.in_flight.inc();
        let (tenant, metrics, admitted) = (tenant.clone(), self.metrics.clone(), Instant::now());
        Ok(Permit { tenant, usage, waited: admitted - began, slot, admitted, metrics })
    }

    async fn wait(&self, wait: fair_queue::Waiter, share: Share) -> Result<Slot, AdmissionError> {
        let _waiting = Waiting::begin(&self.metrics);
        let (concurrency, waited) = (self.concurrency, self.queue_time);
        tokio::time::timeout(waited, wait).await.map_err(|_| match share.slots < concurrency {
            true => AdmissionError::TenantTooLong { concurrency: share.slots, waited },
            false => AdmissionError::TooLong { concurrency, waited },
        })
    }

    /// Runs the work of a call. When the caller goes away, the work is dropped at its next yield. The permit ends with the
    /// work, and not when its caller hears of it: a caller that waits for a slow client would hold it.
    pub async fn run<T: Send + 'static>(
        &self,
        permit: Permit,
        placement: Placement,
        work: impl FnOnce(Permit) -> Work<T>,
    ) -> Result<T, Panicked> {
        let quiet = self.meets_nobody();
        let here = placement == Placement::Inline && quiet && permit.usage.recent_cost.is_cheap();
        let (tenant, usage) = (permit.tenant.name.clone(), permit.usage.clone());
        let mut work = self.slice(&tenant, usage, work(permit));
        if here {
            let polled = inline::poll(&mut work);
            inline::run_deferred_drops();
            if let Poll::Ready(output) = polled? {
                return Ok(output);
            }
        }
        self.spawn(work).await
    }

    /// Runs work that is no call, such as an activation, in a tenant's turns.
    pub async fn run_background<T: Send + 'static>(&self, tenant: &Arc<str>, work: Work<T>) -> Result<T, Panicked> {
        self.start(tenant, Arc::default(), work).await
    }

    /// Starts work that holds its own permit, for who has something else to wait for meanwhile.
    pub fn start<T: Send + 'static>(&self, tenant: &Arc<str>, usage: Arc<ModelUsage>, work: Work<T>) -> Task<T> {
        self.spawn(self.slice(tenant, usage, work))
    }

    /// Whether calls come one at a time: neither the one that asks met another, nor did many before it. Where they meet,
    /// handing over costs less than it gains: each thread stays with the same code, and seldom sleeps.
    fn meets_nobody(&self) -> bool {
        if self.slots.free() + 1 < self.concurrency {
            self.lonely.store(0, Ordering::Relaxed);
            return false;
        }
        self.lonely.fetch_add(1, Ordering::Relaxed) >= LONELY
    }

    fn slice<T>(&self, tenant: &Arc<str>, usage: Arc<ModelUsage>, work: Work<T>) -> Sliced<T> {
        let call_context = CallContext { cores: self.cores.clone(), tenant: tenant.clone(), usage };
        Sliced::new(Arc::new(call_context), work)
    }

    fn spawn<T: Send + 'static>(&self, work: Sliced<T>) -> Task<T> {
        Task(self.runtime.as_ref().map(|runtime| runtime.spawn(work)))
    }
}

/// Waits on the thread of whoever asks, but goes on whether or not they look at it, until they are gone.
pub fn unattended<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(Some(tokio::spawn(work)))
}

impl Drop for Compute {
    fn drop(&mut self) {
        // A runtime may not be dropped where one runs; this one ends by itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Work on its way; dropping it ends the work.
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

/// Counts a call that waits, however the wait ends.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn begin(metrics: &'a Metrics) -> Waiting<'a> {
        metrics.waiting.inc();
        Waiting(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}
