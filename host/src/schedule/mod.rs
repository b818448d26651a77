//! Who computes when: a bounded number of calls at once, a bounded queue before them, and threads that do nothing else,
//! so that a long computation never holds up a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinError};

use crate::config::Compute as ComputeConfig;
use crate::telemetry::Metrics;

/// The compute threads and the queue before them.
pub struct Compute {
    runtime: Option<Runtime>,
    places: Arc<Semaphore>,
    concurrency: usize,
    waiting: AtomicUsize,
    queue: usize,
    queue_time: Duration,
    metrics: Arc<Metrics>,
}

/// A place among the calls that run. Whoever holds one may compute; dropping it lets the next one in.
pub struct Permit {
    _place: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

/// There was no place for a call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoPlace {
    #[error("{concurrency} calls are running and {queue} are waiting, which is as many as may (compute.queue)")]
    QueueFull { concurrency: usize, queue: usize },
    #[error("no place among {concurrency} running calls came free within {} (compute.queue-time)", humantime::format_duration(*.waited))]
    TooLong { concurrency: usize, waited: Duration },
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
            .enable_time()
            .build()?;
        Ok(Compute {
            runtime: Some(runtime),
            places: Arc::new(Semaphore::new(config.concurrency)),
            concurrency: config.concurrency,
            waiting: AtomicUsize::new(0),
            queue: config.queue,
            queue_time: config.queue_time,
            metrics,
        })
    }

    /// Waits for a place, first come first served; refuses where the queue is full or the wait too long.
    pub async fn admit(&self) -> Result<Permit, NoPlace> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => self.wait().await?,
        };
        self.metrics.in_flight.inc();
        Ok(Permit { _place: place, metrics: self.metrics.clone() })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, NoPlace> {
        let concurrency = self.concurrency;
        let _waiting = Waiting::begin(self).ok_or(NoPlace::QueueFull { concurrency, queue: self.queue })?;
        match tokio::time::timeout(self.queue_time, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed: it was the time.
            Ok(Err(_)) | Err(_) => Err(NoPlace::TooLong { concurrency, waited: self.queue_time }),
        }
    }

    /// Runs `work` on a compute thread. When the caller goes away, the work is dropped at its next yield.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Panicked> {
        let Some(runtime) = &self.runtime else { return Err(Panicked) };
        let task = runtime.spawn(work);
        let _abort = AbortOnDrop(task.abort_handle());
        task.await.map_err(|_: JoinError| Panicked)
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        // A runtime may not be dropped where one runs; this one ends by itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A place in the queue, given back however the wait ends.
struct Waiting<'a>(&'a Compute);

impl<'a> Waiting<'a> {
    fn begin(compute: &'a Compute) -> Option<Waiting<'a>> {
        let before = compute.waiting.fetch_add(1, Ordering::Relaxed);
        compute.metrics.waiting.inc();
        let waiting = Waiting(compute);
        (before < compute.queue).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.waiting.dec();
    }
}
