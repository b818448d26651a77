//! The permit of a call that was admitted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::counted::Counted;
use super::fair_queue::{FairQueue, Slot, Turn};
use super::{CallContext, nanoseconds};
use crate::telemetry::Metrics;
use crate::tenant::{ModelUsage, Tenant};

/// The permission to compute, with the slot of the call. Dropping it lets the next call in.
pub struct Permit {
    pub tenant: Arc<Tenant>,
    /// Counters of what the call uses.
    pub usage: Arc<ModelUsage>,
    /// Context of the call's work, for everything that computes for it.
    pub context: CallContext,
    /// Time that the call waited for its slot.
    pub waited: Duration,
    pub(super) slots: Arc<FairQueue>,
    /// `None` while the call is paused.
    pub(super) slot: Mutex<Option<HeldSlot>>,
    /// The call's slot among the open streams, if it is one.
    pub(super) _stream: Option<Slot>,
    pub(super) metrics: Arc<Metrics>,
}

/// A slot whose time counts against its tenant's next turns.
pub(super) struct HeldSlot {
    slot: Slot,
    since: Instant,
}

impl Permit {
    /// Gives the slot back while the call waits for something outside of the host, and takes a slot again, in the tenant's
    /// queue, before it goes on. The call is paused until then. The bounds on calls that wait do not
    /// refuse it, because it was admitted once.
    pub async fn release_while<T>(&self, wait: impl Future<Output = T>) -> T {
        drop(self.slot().take());
        let output = {
            let _paused = Counted::begin(&self.metrics.paused_streams);
            wait.await
        };
        let slot = match self.slots.enter(&self.tenant.name, self.tenant.limits().concurrency) {
            Turn::Granted(slot) => slot,
            Turn::Queued(wait) => {
                let _waiting = Counted::begin(&self.metrics.waiting);
                wait.await
            }
        };
        *self.slot() = Some(HeldSlot::new(slot));
        output
    }

    fn slot(&self) -> MutexGuard<'_, Option<HeldSlot>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

impl HeldSlot {
    pub(super) fn new(slot: Slot) -> HeldSlot {
        HeldSlot { slot, since: Instant::now() }
    }
}

impl Drop for HeldSlot {
    fn drop(&mut self) {
        self.slot.use_up(nanoseconds(self.since.elapsed()));
    }
}
