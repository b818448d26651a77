//! Admission of calls: a slot among those that run at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counted::Counted;
use super::fair_queue::{Acquire, Share, Slot, Waiter};
use super::permit::HeldSlot;
use super::{Compute, Permit};
use crate::tenant::{ModelUsage, OutOfFuel, Tenant};

/// The call was not admitted. The limits of the tenant, and those of the host, have errors of their own.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdmissionError {
    #[error("the queue is full: {concurrency} calls are running and {queue} are waiting (compute.queue)")]
    QueueFull { concurrency: usize, queue: usize },
    #[error("none of the {concurrency} slots for calls (compute.concurrency) became free within {} (compute.queue-time)", humantime::format_duration(*.waited))]
    TooLong { concurrency: usize, waited: Duration },
    #[error(
        "{queue} calls of the tenant are waiting (queue), and {concurrency} may run at once (concurrency); send fewer at once"
    )]
    TenantQueueFull { concurrency: usize, queue: usize },
    #[error("none of the tenant's {concurrency} slots for calls (concurrency) became free within {} (compute.queue-time)", humantime::format_duration(*.waited))]
    TenantTooLong { concurrency: usize, waited: Duration },
    #[error(transparent)]
    OutOfFuel(#[from] OutOfFuel),
}

impl Compute {
    /// Waits for a slot. Fails if the tenant has burnt its fuel, if a queue is full, or if the wait takes longer than
    /// `compute.queue-time`. A tenant that runs no call gets a slot at once, even if others hold all of them.
    pub async fn admit(&self, tenant: &Arc<Tenant>, usage: Arc<ModelUsage>) -> Result<Permit, AdmissionError> {
        let began = Instant::now();
        tenant.check_fuel()?;
        let limits = tenant.limits();
        let share = Share { slots: limits.concurrency, queue: limits.queue };
        let (concurrency, queue) = (self.config.concurrency, self.config.queue);
        let slot = match self.slots.acquire(&tenant.name, share, queue) {
            Acquire::Granted(slot) => slot,
            Acquire::Queued(wait) => {
                let slot = self.wait(tenant, wait, share).await?;
                // The calls before it may have burnt the rest of the tenant's fuel.
                tenant.check_fuel()?;
                slot
            }
            Acquire::TenantQueueFull => {
                return Err(AdmissionError::TenantQueueFull { concurrency: share.slots, queue: share.queue });
            }
            Acquire::QueueFull => return Err(AdmissionError::QueueFull { concurrency, queue }),
        };
        self.metrics.in_flight.inc();
        Ok(Permit {
            tenant: tenant.clone(),
            context: self.context(tenant.name.clone(), usage.clone()),
            usage,
            waited: began.elapsed(),
            _slot: HeldSlot::new(slot),
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
}
