//! Counters of bytes, which are counted for as long as they are held. A meter can be part of another one: that of a call is
//! part of its tenant's, and that of a tenant's loaded versions is part of the host's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::tensor::Guarded;

/// A counter of held bytes, and of their peak. Each charge shares the meter, and gives back its bytes when it is dropped,
/// as when the last clone of a tensor is dropped.
#[derive(Debug, Default)]
pub(super) struct Meter {
    used: AtomicU64,
    peak: AtomicU64,
    /// The meter that this one is part of, which counts the same bytes.
    whole: Option<Arc<Meter>>,
}

/// The bound that a charge would have exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The bound of the meter itself.
    Part,
    /// The bound of the meter that it is part of.
    Whole,
}

impl Meter {
    pub(super) fn part_of(whole: &Arc<Meter>) -> Meter {
        Meter { whole: Some(whole.clone()), ..Meter::default() }
    }

    /// Counts bytes for as long as the charge lives. Fails, and counts nothing, if they exceed one of the two bounds
    /// together with the bytes that are held already.
    pub(super) fn charge(self: &Arc<Meter>, bytes: u64, bound: u64, whole_bound: u64) -> Result<Charge, Full> {
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

    /// Counts bytes if the sum stays within the bound, and returns true if it does.
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

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn used_of_whole(&self) -> u64 {
        self.whole.as_ref().map_or(0, |whole| whole.used())
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Bytes that a meter counts until the charge is dropped.
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

    /// Takes over the bytes of another charge of the same meter.
    pub fn merge(&mut self, mut other: Charge) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Keeps the charge until the last clone or slice of its bytes is dropped.
    pub fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Guarded { bytes, _guard: self })
    }
}
