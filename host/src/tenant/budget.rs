//! The budget of a call: what is left of its limits. One budget passes through all stages of the call, sandboxed and
//! native, so that work costs the same wherever it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Tenant;
use super::log_rate::LogRate;
use super::meter::{Charge, Full, Meter};
use crate::config::{CallLimits, TenantLimits, format_bytes, format_count};

/// A resource of which a call can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Fuel,
    Memory,
    Time,
    Stack,
    Log,
    /// The memory that all calls of the tenant hold together.
    TenantMemory,
}

impl Limit {
    pub fn name(self) -> &'static str {
        match self {
            Limit::Fuel => "fuel",
            Limit::Memory => "memory",
            Limit::Time => "time",
            Limit::Stack => "stack",
            Limit::Log => "log",
            Limit::TenantMemory => "tenant-memory",
        }
    }

    /// The configuration key that sets this limit for calls.
    pub fn key(self) -> &'static str {
        match self {
            Limit::Fuel => "call.fuel",
            Limit::Memory => "call.memory",
            Limit::Time => "call.time",
            Limit::Stack => "compute.stack",
            Limit::Log => "call.log",
            Limit::TenantMemory => "tenant.memory",
        }
    }

    /// The configuration key that sets this limit for the activation of a plugin.
    pub fn init_key(self) -> &'static str {
        match self {
            Limit::Fuel => "init.fuel",
            Limit::Memory => "init.memory",
            Limit::Time => "init.time",
            Limit::Stack => "compute.stack",
            Limit::Log => "init.log",
            Limit::TenantMemory => "tenant.memory",
        }
    }
}

/// A limit that a call has reached, which ends the call. `bound` and `used` are in units of fuel, bytes, or milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("reached its {} limit of {}{}", limit.name(), self.text(*bound), self.use_so_far())]
pub struct Exceeded {
    pub limit: Limit,
    pub bound: u64,
    /// The amount used, without the charge that did not fit.
    pub used: u64,
}

impl Exceeded {
    /// An error for a limit that is used up completely: `used` is equal to `bound`.
    pub fn whole(limit: Limit, bound: u64) -> Exceeded {
        Exceeded { limit, bound, used: bound }
    }

    /// The use in parentheses. It is "before" for a limit that is not used up, because `used` does not include the charge that
    /// did not fit. Of time nothing is said before the first look at the clock.
    fn use_so_far(&self) -> String {
        if self.limit == Limit::Time && self.used == 0 {
            return String::new();
        }
        format!(" ({} used{})", self.text(self.used), if self.used < self.bound { " before" } else { "" })
    }

    fn text(&self, amount: u64) -> String {
        match self.limit {
            Limit::Fuel => format_count(amount),
            Limit::Time => humantime::format_duration(Duration::from_millis(amount)).to_string(),
            Limit::Memory | Limit::Stack | Limit::Log | Limit::TenantMemory => format_bytes(amount),
        }
    }
}

/// Fuel that a call has used so far, and the most bytes of memory that it has held at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallUsage {
    pub fuel: u64,
    pub peak_memory: u64,
}

/// The rest of a call's limits, and the deadline of the call.
#[derive(Debug)]
pub struct Budget {
    limits: CallLimits,
    fuel: u64,
    memory: Arc<Meter>,
    tenant_memory: u64,
    log: u64,
    log_rate: Option<LogRate>,
    clock: Arc<Clock>,
}

/// The deadline of a call, which a pause can move. It is shared with the sandbox, which ends a plugin's call that still
/// waits inside the host at the deadline.
#[derive(Debug)]
pub struct Clock {
    deadline: Instant,
    /// Nanoseconds by which `deadline` was moved since the call began.
    moved: AtomicU64,
}

impl Clock {
    fn start(time: Duration) -> Arc<Clock> {
        Arc::new(Clock { deadline: Instant::now() + time, moved: AtomicU64::new(0) })
    }

    pub fn deadline(&self) -> Instant {
        self.deadline + Duration::from_nanos(self.moved.load(Ordering::Relaxed))
    }
}

/// A guard that stops the time of a call while the call waits for its client, up to `at_most` nanoseconds.
pub struct Pause {
    clock: Arc<Clock>,
    began: Instant,
    at_most: u64,
}

impl Drop for Pause {
    fn drop(&mut self) {
        let waited = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.clock.moved.fetch_sub(self.at_most.saturating_sub(waited), Ordering::Relaxed);
    }
}

impl Budget {
    /// A budget without a tenant, as for the activation of a plugin. Its time starts now.
    pub fn new(limits: &CallLimits) -> Budget {
        Budget {
            fuel: limits.fuel,
            memory: Arc::default(),
            tenant_memory: u64::MAX,
            log: limits.log,
            log_rate: None,
            clock: Clock::start(limits.time),
            limits: limits.clone(),
        }
    }

    /// A budget for a call of a tenant, whose calls share a bound on their memory. Its time starts now.
    pub fn of(tenant: &Tenant, limits: &TenantLimits) -> Budget {
        let memory = Meter::part_of(&tenant.memory);
        let (tenant, per_second, state) = (tenant.name.clone(), limits.log_per_second, tenant.log.clone());
        Budget {
            memory: Arc::new(memory),
            tenant_memory: limits.memory,
            log_rate: Some(LogRate { tenant, per_second, state }),
            ..Budget::new(&limits.call)
        }
    }

    /// A budget with nothing left, which stands in while the real one is lent to an instance.
    pub fn empty() -> Budget {
        Budget::new(&CallLimits { fuel: 0, memory: 0, time: Duration::ZERO, log: 0 })
    }

    pub fn fuel_left(&self) -> u64 {
        self.fuel
    }

    /// Sets the fuel that is left after a sandboxed instance, which counts by itself, has run. It never raises the fuel.
    pub fn set_fuel_left(&mut self, fuel: u64) {
        self.fuel = fuel.min(self.fuel);
    }

    pub fn charge_fuel(&mut self, fuel: u64) -> Result<(), Exceeded> {
        match self.fuel.checked_sub(fuel) {
            Some(left) => self.fuel = left,
            None => return Err(self.exceeded(Limit::Fuel)),
        }
        Ok(())
    }

    /// Counts bytes for as long as the charge lives. Fails if they exceed the limit of the call or that of its tenant.
    pub fn charge_memory(&self, bytes: u64) -> Result<Charge, Exceeded> {
        self.memory.charge(bytes, self.limits.memory, self.tenant_memory).map_err(|full| match full {
            Full::Part => self.exceeded(Limit::Memory),
            Full::Whole => self.exceeded(Limit::TenantMemory),
        })
    }

    /// Counts bytes until the last clone or slice of them is dropped. Fails as [`Self::charge_memory`] does.
    pub fn hold(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Bytes, Exceeded> {
        let charge = self.charge_memory(bytes.as_ref().len() as u64)?;
        Ok(charge.hold(bytes))
    }

    pub fn log_left(&self) -> u64 {
        self.log
    }

    /// The rate that the log of all calls of the tenant shares; `None` without a tenant.
    pub fn log_rate(&self) -> Option<&LogRate> {
        self.log_rate.as_ref()
    }

    pub fn set_log_left(&mut self, bytes: u64) {
        self.log = bytes.min(self.log);
    }

    pub fn check_time(&self) -> Result<(), Exceeded> {
        if Instant::now() < self.clock.deadline() { Ok(()) } else { Err(self.exceeded(Limit::Time)) }
    }

    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Stops the call's time until the pause is dropped, or until `at_most` has passed.
    pub fn pause(&self, at_most: Duration) -> Pause {
        let at_most = u64::try_from(at_most.as_nanos()).unwrap_or(u64::MAX >> 1);
        self.clock.moved.fetch_add(at_most, Ordering::Relaxed);
        Pause { clock: self.clock.clone(), began: Instant::now(), at_most }
    }

    pub fn exceeded(&self, limit: Limit) -> Exceeded {
        let (bound, used) = match limit {
            Limit::Fuel => (self.limits.fuel, self.limits.fuel - self.fuel),
            Limit::Memory => (self.limits.memory, self.memory.used()),
            Limit::Time => (milliseconds(self.limits.time), milliseconds(self.elapsed())),
            Limit::Log => (self.limits.log, self.limits.log - self.log),
            Limit::TenantMemory => (self.tenant_memory, self.memory.used_of_whole()),
            // The stack's size belongs to the engine, which reports it.
            Limit::Stack => (0, 0),
        };
        Exceeded { limit, bound, used }
    }

    fn elapsed(&self) -> Duration {
        let (now, deadline) = (Instant::now(), self.clock.deadline());
        self.limits.time.saturating_sub(deadline.saturating_duration_since(now))
            + now.saturating_duration_since(deadline)
    }

    pub fn fuel_limit(&self) -> u64 {
        self.limits.fuel
    }

    pub fn memory_limit(&self) -> u64 {
        self.limits.memory
    }

    pub fn usage(&self) -> CallUsage {
        CallUsage { fuel: self.limits.fuel - self.fuel, peak_memory: self.memory.peak() }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(&CallLimits { fuel: 100, memory: 1000, time: Duration::from_secs(3600), log: 10 })
    }

    #[test]
    fn fuel_runs_out_at_its_bound() {
        let mut budget = budget();
        budget.charge_fuel(100).unwrap();
        assert_eq!(budget.charge_fuel(1), Err(Exceeded { limit: Limit::Fuel, bound: 100, used: 100 }));
        assert_eq!(budget.exceeded(Limit::Log).to_string(), "reached its log limit of 10 B (0 B used before)");
        assert_eq!(budget.usage().fuel, 100);
    }

    #[test]
    fn a_pause_stops_the_time_of_a_call() {
        let budget = Budget::new(&CallLimits { fuel: 0, memory: 0, time: Duration::ZERO, log: 0 });
        assert_eq!(budget.check_time().unwrap_err().limit, Limit::Time);
        let before = budget.clock().deadline();
        let pause = budget.pause(Duration::from_secs(3600));
        budget.check_time().unwrap();
        drop(pause);
        let moved = budget.clock().deadline() - before;
        assert!(moved < Duration::from_secs(60), "{moved:?} instead of the hour that was allowed");
        assert!(budget.check_time().is_err());
    }

    #[test]
    fn memory_is_summed_released_and_its_peak_kept() {
        let budget = budget();
        let charge = budget.charge_memory(600).unwrap();
        assert!(budget.charge_memory(401).is_err());
        assert!(budget.charge_memory(u64::MAX).is_err());
        drop(charge);
        let held = budget.hold(vec![0; 900]).unwrap();
        let slice = held.slice(10..20);
        drop(held);
        assert!(budget.charge_memory(101).is_err(), "a slice keeps the whole alive");
        drop(slice);
        let _all = budget.charge_memory(1000).unwrap();
        assert_eq!(budget.usage().peak_memory, 1000);
    }

    #[test]
    fn calls_of_a_tenant_share_a_bound_on_memory() {
        let limits = TenantLimits { memory: 1500, ..crate::config::Config::default().tenant };
        let tenant = Tenant::new("a", limits.clone());
        let limits = TenantLimits { call: CallLimits { memory: 1000, ..limits.call.clone() }, ..limits };
        let (first, second) = (Budget::of(&tenant, &limits), Budget::of(&tenant, &limits));
        let held = first.charge_memory(900).unwrap();
        assert_eq!(
            second.charge_memory(700).unwrap_err(),
            Exceeded { limit: Limit::TenantMemory, bound: 1500, used: 900 }
        );
        let _small = second.charge_memory(600).unwrap();
        drop(held);
        let _more = second.charge_memory(400).unwrap();
        assert_eq!(second.charge_memory(1).unwrap_err().limit, Limit::Memory);
    }

    #[test]
    fn an_instance_cannot_give_back_more_fuel_than_it_had() {
        let mut budget = budget();
        budget.charge_fuel(50).unwrap();
        budget.set_fuel_left(1_000_000);
        assert_eq!(budget.fuel_left(), 50);
    }
}
