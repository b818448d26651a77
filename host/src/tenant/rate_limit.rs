//! A rate limit in units per second, with a burst, and the limits of a tenant that are of this kind: fuel, administrative
//! acts, and bytes of log ([`super::log_rate`]). The fuel of a call is known only when the call is over, and is charged then.
//! A tenant whose level fell below zero waits until it is above zero again.

use std::time::{Duration, Instant};

use crate::config::format_count;

/// The units that a tenant has saved up.
#[derive(Debug)]
pub(super) struct Bucket {
    level: f64,
    filled: Instant,
    /// Rate and burst that `level` was counted under. A change of either starts with a full bucket.
    terms: (u64, u64),
}

/// The units that may be used now, and the time until the whole burst is available again.
pub(super) struct Level {
    left: u64,
    full_in: Duration,
}

/// No unit is left.
pub(super) struct Wait {
    /// Units that were used out of the burst, and beyond it.
    used: u64,
    /// Time until a unit is left.
    wait: Duration,
}

/// A tenant has used up its fuel for now.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the tenant has used {} of fuel, which is more than its rate of {} per second (fuel-per-second) and its burst of {} (fuel-burst) allow; try again in {}",
    format_count(*.used), format_count(*.per_second), format_count(*.burst), humantime::format_duration(round_up(*.wait))
)]
pub struct OutOfFuel {
    pub per_second: u64,
    pub burst: u64,
    /// Fuel that was used out of the burst; calls can exceed the burst.
    pub used: u64,
    /// Time until a call can begin.
    pub wait: Duration,
}

/// Administrative acts that the keys of a tenant may perform per second. Each waits for the disk, adds to the audit log for
/// good, and holds the lock of the stored state, which all tenants share.
const ACTS_PER_SECOND: u64 = 10;

/// Administrative acts that the keys of a tenant may perform at once, for a script that sets up many models.
const ACT_BURST: u64 = 100;

/// The keys of a tenant have performed too many administrative acts for now.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the tenant's keys have performed more administrative acts than {ACTS_PER_SECOND} per second and {ACT_BURST} at once; try again in {}",
    humantime::format_duration(round_up(*.wait))
)]
pub struct TooManyActs {
    /// Time until the next act.
    pub wait: Duration,
}

/// Rounds up to whole seconds, for the text that clients read.
fn round_up(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// The fuel that may be used now, and the time until the whole burst is available again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FuelLeft {
    pub per_second: u64,
    pub burst: u64,
    pub left: u64,
    pub full_in: Duration,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Bucket {
        Bucket { level: 0.0, filled: now, terms: (0, 0) }
    }

    fn fill(&mut self, per_second: u64, burst: u64, now: Instant) {
        if self.terms != (per_second, burst) {
            (self.terms, self.level) = ((per_second, burst), burst as f64);
        } else {
            let earned = now.saturating_duration_since(self.filled).as_secs_f64() * per_second as f64;
            self.level = (self.level + earned).min(burst as f64);
        }
        self.filled = now;
    }

    /// Refills the bucket, and fails if it is empty.
    pub(super) fn level(&mut self, per_second: u64, burst: u64, now: Instant) -> Result<Level, Wait> {
        self.fill(per_second, burst, now);
        let seconds = |units: f64| Duration::from_secs_f64((units / per_second.max(1) as f64).clamp(0.0, 1e9));
        if self.level <= 0.0 {
            return Err(Wait { used: whole(burst as f64 - self.level), wait: seconds(1.0 - self.level) });
        }
        Ok(Level { left: whole(self.level), full_in: seconds(burst as f64 - self.level) })
    }

    /// Takes units, more than there are if need be.
    pub(super) fn take(&mut self, units: u64) {
        self.level -= units as f64;
    }

    /// Refuses a call if the bucket, which holds fuel, is empty.
    pub(super) fn check(&mut self, per_second: u64, burst: u64, now: Instant) -> Result<FuelLeft, OutOfFuel> {
        match self.level(per_second, burst, now) {
            Ok(Level { left, full_in }) => Ok(FuelLeft { per_second, burst, left, full_in }),
            Err(Wait { used, wait }) => Err(OutOfFuel { per_second, burst, used, wait }),
        }
    }

    /// Takes the fuel of a call.
    pub(super) fn burn(&mut self, fuel: u64) {
        self.take(fuel);
    }

    /// Counts an administrative act, or refuses it. The bucket holds acts.
    pub(super) fn count_act(&mut self, now: Instant) -> Result<(), TooManyActs> {
        self.level(ACTS_PER_SECOND, ACT_BURST, now).map_err(|Wait { wait, .. }| TooManyActs { wait })?;
        self.take(1);
        Ok(())
    }
}

/// Whole units.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a debt is no unit, and the conversion saturates; only a fraction is lost"
)]
fn whole(units: f64) -> u64 {
    units as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuel_beyond_the_burst_delays_the_next_call() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut bucket = Bucket::new(start);
        assert_eq!(bucket.check(100, 300, start).unwrap().left, 300);
        bucket.burn(1300);
        let refused = bucket.check(100, 300, start).unwrap_err();
        assert_eq!((refused.wait.as_secs(), refused.used), (10, 1300));
        assert!(bucket.check(100, 300, later(9)).is_err());
        let left = bucket.check(100, 300, later(12)).unwrap();
        assert_eq!((left.left, left.full_in.as_secs()), (200, 1));
        assert_eq!(bucket.check(100, 300, later(1000)).unwrap().left, 300);
        // A changed rate or burst applies at once.
        assert_eq!(bucket.check(5, 5, later(1000)).unwrap().left, 5);
    }

    #[test]
    fn acts_beyond_the_burst_wait_for_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let accepted = |bucket: &mut Bucket, now| (0..1000).filter(|_| bucket.count_act(now).is_ok()).count();
        assert_eq!(accepted(&mut bucket, start), 100);
        let refused = bucket.count_act(start).unwrap_err();
        assert_eq!(refused.wait, Duration::from_millis(100));
        assert!(refused.to_string().ends_with("than 10 per second and 100 at once; try again in 1s"), "{refused}");
        assert_eq!(accepted(&mut bucket, start + Duration::from_secs(2)), 20);
    }
}
