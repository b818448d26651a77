//! Recent cost of a model's calls, which decides whether a call is cheap enough for inline execution. The cost is counted
//! in fuel and bytes and not timed, so that a cheap call stays cheap on a busy machine.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::CallUsage;

/// Most fuel of a cheap call, which is well under a millisecond of work.
pub const CHEAP_CALL_FUEL: u64 = 500_000;

/// Most memory of a cheap call in bytes, which can be copied and cleared within that time.
const CHEAP_CALL_MEMORY: u64 = 8 << 20;

/// Recent cost of the calls of one tenant to one model.
#[derive(Debug, Default)]
pub struct RecentCost {
    /// The time until which the model's calls count as expensive, in milliseconds as `now` returns them.
    heavy_until: AtomicU64,
}

impl RecentCost {
    /// True if no recent call was expensive.
    pub fn is_cheap(&self) -> bool {
        self.heavy_until.load(Ordering::Relaxed) <= now()
    }

    /// Remembers an expensive call for about a thousand times as long as it can have taken. Expensive calls can therefore
    /// hold about a thousandth of an I/O thread's time at most.
    pub fn note(&self, used: CallUsage) {
        if used.fuel > CHEAP_CALL_FUEL || used.peak_memory > CHEAP_CALL_MEMORY {
            // A microsecond of work is about a thousand units of fuel, and a thousand bytes at the slowest. The
            // microseconds are added as milliseconds, which is a factor of a thousand.
            let microseconds = used.fuel / 1000 + used.peak_memory / 1000;
            self.heavy_until.fetch_max(now().saturating_add(microseconds), Ordering::Relaxed);
        }
    }
}

/// Milliseconds since the first use of this clock in the process.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    crate::numbers::milliseconds(START.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expensive_calls_are_remembered() {
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
