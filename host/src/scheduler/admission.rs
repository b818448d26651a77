//! Admission of calls: a slot among those that run at once, and for streams also one among those that are open.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::counted::Counted;
use super::fair_queue::{Full, Share, Slot, Turn, Waiter};
use super::permit::HeldSlot;
use super::{Compute, Permit, fair_share};
use crate::tenant::{ModelUsage, OutOfFuel, Tenant};

/// The call was not admitted. The limits of the tenant, and those of the host, have errors of their own.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdmissionError {
    #[error("the queue is full: {running} calls are running and {queue} are waiting (compute.queue)")]
    QueueFull { running: usize, queue: usize },
    #[error("none of the {concurrency} slots for calls (compute.concurrency) became free within {} (compute.queue-time)", humantime::format_duration(*.waited))]
    TooLong { concurrency: usize, waited: Duration },
    #[error(
        "too many streams are open: the host may have {streams} (compute.streams), of which the tenant may have {share} now; close some, or try again when others have ended"
    )]
    Streams { streams: usize, share: usize },
    #[error(
        "{queue} calls of the tenant are waiting (queue), and {concurrency} may run at once (concurrency); send fewer at once"
    )]
    TenantQueueFull { concurrency: usize, queue: usize },
    #[error("none of the tenant's {concurrency} slots for calls (concurrency) became free within {} (compute.queue-time)", humantime::format_duration(*.waited))]
    TenantTooLong { concurrency: usize, waited: Duration },
    #[error("{streams} streams of the tenant are open (streams); close some, or read them to their end")]
    TenantStreams { streams: usize },
    #[error(transparent)]
    OutOfFuel(#[from] OutOfFuel),
}

impl Compute {
    /// Waits for a slot. Fails if the tenant has burnt its fuel, if a queue is full, or if the wait takes longer than
    /// `compute.queue-time`. A tenant that holds no slot gets one at once even if others hold all of them, as long as fewer
    /// than `compute.concurrency` tenants do so.
    pub async fn admit(&self, tenant: &Arc<Tenant>, usage: Arc<ModelUsage>) -> Result<Permit, AdmissionError> {
        self.admit_with(tenant, usage, None).await
    }

    /// Waits for a slot for a stream. Fails as [`Self::admit`] does, or at once if too many streams are open.
    pub async fn admit_stream(&self, tenant: &Arc<Tenant>, usage: Arc<ModelUsage>) -> Result<Permit, AdmissionError> {
        let stream = self.open_stream(tenant)?;
        self.admit_with(tenant, usage, Some(stream)).await
    }

    async fn admit_with(
        &self,
        tenant: &Arc<Tenant>,
        usage: Arc<ModelUsage>,
        stream: Option<Slot>,
    ) -> Result<Permit, AdmissionError> {
        let began = Instant::now();
        tenant.check_fuel()?;
        let limits = tenant.limits();
        let share = Share { slots: limits.concurrency, queue: limits.queue };
        let queue = self.config.queue;
        let slot = match self.slots.acquire(&tenant.name, share, queue) {
            Ok(Turn::Granted(slot)) => slot,
            Ok(Turn::Queued(wait)) => {
                let slot = self.wait(tenant, wait, share).await?;
                // The calls before it may have burnt the rest of the tenant's fuel.
                tenant.check_fuel()?;
                slot
            }
            Err(Full::Tenant) => {
                return Err(AdmissionError::TenantQueueFull { concurrency: share.slots, queue: share.queue });
            }
            Err(Full::Host { held }) => return Err(AdmissionError::QueueFull { running: held, queue }),
        };
        self.metrics.in_flight.inc();
        Ok(Permit {
            tenant: tenant.clone(),
            context: self.context(tenant.name.clone(), usage.clone()),
            usage,
            waited: began.elapsed(),
            slots: self.slots.clone(),
            slot: Mutex::new(Some(HeldSlot::new(slot))),
            _stream: stream,
            metrics: self.metrics.clone(),
        })
    }

    async fn wait(&self, tenant: &Tenant, wait: Waiter, share: Share) -> Result<Slot, AdmissionError> {
        let _waiting = Counted::begin(&self.metrics.waiting);
        let (concurrency, waited) = (self.config.concurrency, self.config.queue_time);
        // The tenant's limit is the reason only if its calls hold as many slots as it may have.
        let full = || self.slots.held_by(&tenant.name) >= share.slots;
        tokio::time::timeout(waited, wait).await.map_err(|_| match full() {
            true => AdmissionError::TenantTooLong { concurrency: share.slots, waited },
            false => AdmissionError::TooLong { concurrency, waited },
        })
    }

    /// Counts an open stream, within the tenant's limit and its share of the host's.
    fn open_stream(&self, tenant: &Tenant) -> Result<Slot, AdmissionError> {
        let own = tenant.limits().streams;
        let share = fair_share::of_free(self.streams.free());
        self.streams.try_acquire(&tenant.name, own.min(share)).ok_or_else(|| {
            match self.streams.held_by(&tenant.name) >= own {
                true => AdmissionError::TenantStreams { streams: own },
                false => AdmissionError::Streams { streams: self.config.streams, share },
            }
        })
    }
}
