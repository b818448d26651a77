//! The permit of a call that was admitted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fair_queue::Slot;
use super::{CallContext, nanoseconds};
use crate::telemetry::Metrics;
use crate::tenant::{ModelUsage, Tenant};

/// A slot among the calls that run, which is the permission to compute. Dropping it lets the next call in.
pub struct Permit {
    pub tenant: Arc<Tenant>,
    /// Counters of what the call uses.
    pub usage: Arc<ModelUsage>,
    /// Context of the call's work, for everything that computes for it.
    pub context: CallContext,
    /// Time that the call waited for its slot.
    pub waited: Duration,
    pub(super) _slot: HeldSlot,
    pub(super) metrics: Arc<Metrics>,
}

/// A slot whose time counts against its tenant's next turns.
pub(super) struct HeldSlot {
    slot: Slot,
    since: Instant,
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
