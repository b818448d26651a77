//! Bytes that are counted for as long as somebody holds them: of a call within those of its tenant, and of what a tenant
//! has loaded within that of all tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::tensor::Guarded;

/// Counts the bytes of a call, or of all calls of a tenant. Shared with the call's tensors, each of which gives back its
/// own when the last of its clones goes.
#[derive(Debug, Default)]
pub(super) struct Meter {
    used: AtomicU64,
    peak: AtomicU64,
    /// Counts the same bytes, with those of others.
    whole: Option<Arc<Meter>>,
}

/// Which of two bounds has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The meter's own.
    Part,
    /// That of the whole which it is a part of.
    Whole,
}

impl Meter {
    pub fn part_of(whole: &Arc<Meter>) -> Meter {
        Meter { whole: Some(whole.clone()), ..Meter::default() }
    }

    /// Counts bytes for as long as the charge lives, if they and what is held already stay within both bounds.
    pub fn charge(self: &Arc<Meter>, bytes: u64, bound: u64, whole_bound: u64) -> Result<Charge, Full> {
        if !self.add(bytes, bound) {
            return Err(Full::Part);
        }
        if let Some(whole) = &self.whole
            && !whole.add(bytes, whole_bound)
        {
            self.give_back(bytes);
            return Err(Full::Whole);
        }
        Ok(Charge { bytes, meter: self.clone() })
    }

    /// Counts bytes if they and what is held already stay within the bound.
    fn add(&self, bytes: u64, bound: u64) -> bool {
        let within = |used: u64| used.checked_add(bytes).filter(|used| *used <= bound);
        let before = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        if let Ok(before) = before {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        }
        before.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn used_of_whole(&self) -> u64 {
        self.whole.as_ref().map_or(0, |whole| whole.used())
    }

    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Memory that was counted; dropping it gives it back.
#[derive(Debug)]
pub struct Charge {
    bytes: u64,
    meter: Arc<Meter>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.give_back(self.bytes);
        if let Some(whole) = &self.meter.whole {
            whole.give_back(self.bytes);
        }
    }
}

impl Charge {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One charge for what were two of the same meter.
    pub fn merge(&mut self, mut other: Charge) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Keeps the charge for as long as anyone holds the bytes that it was for.
    pub fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Guarded { bytes, _guard: self })
    }
}
