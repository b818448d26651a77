//! Which calls are short. A call that is over in microseconds should not be handed to another thread, and what a model's
//! calls used tells: it is counted, not timed, so that a busy machine does not make a short call a long one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::CallUsage;

/// Well under a millisecond of work.
pub const CHEAP_CALL_FUEL: u64 = 500_000;

/// What can be copied and cleared in that time.
const CHEAP_CALL_MEMORY: u64 = 8 << 20;

/// The calls of one tenant to one model.
#[derive(Debug, Default)]
pub struct RecentCost {
    /// In milliseconds of the process.
    heavy_until: AtomicU64,
}

impl RecentCost {
    /// Whether no call used much lately.
    pub fn is_cheap(&self) -> bool {
        self.heavy_until.load(Ordering::Relaxed) <= now()
    }

    /// A call that used much is remembered for about a thousand times as long as it can have taken: that is how little
    /// of a thread such calls can hold where they should not.
    pub fn note(&self, used: CallUsage) {
        if used.fuel > CHEAP_CALL_FUEL || used.peak_memory > CHEAP_CALL_MEMORY {
            // A microsecond of work is about a thousand units of fuel, and a thousand bytes at the slowest.
            let microseconds = used.fuel / 1000 + used.peak_memory / 1000;
            self.heavy_until.fetch_max(now().saturating_add(microseconds), Ordering::Relaxed);
        }
    }
}

fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_used_much_is_remembered() {
        let recent_cost = RecentCost::default();
        recent_cost.note(CallUsage { fuel: CHEAP_CALL_FUEL, peak_memory: CHEAP_CALL_MEMORY });
        assert!(recent_cost.is_cheap());
        recent_cost.note(CallUsage { fuel: 100 * CHEAP_CALL_FUEL, peak_memory: 0 });
        assert!(!recent_cost.is_cheap());
        let other = RecentCost::default();
        other.note(CallUsage { fuel: 0, peak_memory: 256 << 20 });
        assert!(!other.is_cheap());
    }
}
