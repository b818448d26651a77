//! Accounting of the memory that loaded versions hold: graphs, compiled code, files that plugins read, labels. The memory
//! is counted before a version is published, within a limit of its tenant and one of the host, and is given back when the
//! version is dropped.

use std::sync::Arc;

use super::Tenant;
use super::meter::{Charge, Full, Meter};
use crate::config::format_bytes;

/// The memory that the loaded versions of all tenants hold, and the host's bound on it.
#[derive(Debug)]
pub struct Resident {
    pub(super) meter: Arc<Meter>,
    bound: u64,
}

/// The memory of one version. It grows while the version is activated, and lives as long as the version does.
#[derive(Debug)]
pub struct Reservation {
    /// The tenant's meter, which is part of the host's.
    meter: Arc<Meter>,
    bound: u64,
    host_bound: u64,
    held: Option<Charge>,
}

/// The owner of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Tenant,
    Host,
}

/// A version does not fit into the memory that is left for loaded versions.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "{} hold {} of memory, this version needs {} or more, and the {} limit ({}) is {}; {}",
    whose.holders(), format_bytes(*used), format_bytes(*wanted), whose.name(), whose.key(), format_bytes(*bound), whose.advice()
)]
pub struct NotResident {
    pub whose: Whose,
    pub bound: u64,
    /// Bytes that other versions hold.
    pub used: u64,
    /// Bytes that this version needs, as far as they were counted.
    pub wanted: u64,
}

impl Whose {
    /// The key under which an operator sets the bound.
    pub fn key(self) -> &'static str {
        match self {
            Whose::Tenant => "resident-bytes",
            Whose::Host => "bundles.resident-bytes",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Whose::Tenant => "tenant's",
            Whose::Host => "host's",
        }
    }

    fn holders(self) -> &'static str {
        match self {
            Whose::Tenant => "the tenant's loaded versions",
            Whose::Host => "the loaded versions of all tenants",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Whose::Tenant => "retire or delete versions, or ask the operator for more",
            Whose::Host => "ask the operator for more",
        }
    }
}

impl Resident {
    pub fn new(bound: u64) -> Resident {
        Resident { meter: Arc::default(), bound }
    }

    pub fn used(&self) -> u64 {
        self.meter.used()
    }

    /// An empty reservation for a version of a tenant that was made [within](Tenant::within) this.
    pub fn reserve(&self, tenant: &Tenant) -> Reservation {
        let (meter, bound) = (tenant.resident.clone(), tenant.limits().resident_bytes);
        Reservation { meter, bound, host_bound: self.bound, held: None }
    }
}

impl Reservation {
    /// A reservation without bounds, for programs that have neither tenants nor limits.
    pub fn unlimited() -> Reservation {
        Reservation { meter: Arc::default(), bound: u64::MAX, host_bound: u64::MAX, held: None }
    }

    pub fn bytes(&self) -> u64 {
        self.held.as_ref().map_or(0, Charge::bytes)
    }

    /// Most bytes that all versions of the tenant may hold.
    pub fn bound(&self) -> u64 {
        self.bound.min(self.host_bound)
    }

    /// Counts bytes that the version will hold. If two versions are activated at once and do not both fit, one of them is
    /// refused.
    pub fn add(&mut self, bytes: u64) -> Result<(), NotResident> {
        let charge = self.meter.charge(bytes, self.bound, self.host_bound);
        let charge = charge.map_err(|full| self.refuse(full, bytes))?;
        match &mut self.held {
            Some(held) => held.merge(charge),
            None => self.held = Some(charge),
        }
        Ok(())
    }

    fn refuse(&self, full: Full, bytes: u64) -> NotResident {
        let (whose, bound, used) = match full {
            Full::Part => (Whose::Tenant, self.bound, self.meter.used()),
            Full::Whole => (Whose::Host, self.host_bound, self.meter.used_of_whole()),
        };
        let own = self.bytes();
        NotResident { whose, bound, used: used.saturating_sub(own), wanted: own.saturating_add(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, TenantLimits};

    fn tenant(name: &str, bound: u64, resident: &Resident) -> Tenant {
        let limits = TenantLimits { resident_bytes: bound, ..Config::default().tenant };
        Tenant::new(name, limits).within(resident)
    }

    #[test]
    fn a_version_counts_until_it_is_dropped() {
        let resident = Resident::new(10_000);
        let tenant = tenant("a", 1000, &resident);
        let mut first = resident.reserve(&tenant);
        first.add(400).unwrap();
        first.add(300).unwrap();
        assert_eq!((first.bytes(), tenant.resident_bytes(), resident.used()), (700, 700, 700));
        let mut second = resident.reserve(&tenant);
        second.add(100).unwrap();
        let refused = second.add(201).unwrap_err();
        assert_eq!(refused, NotResident { whose: Whose::Tenant, bound: 1000, used: 700, wanted: 301 });
        assert_eq!(second.bytes(), 100, "a refused reservation is not counted");
        drop(first);
        second.add(900).unwrap();
        drop(second);
        assert_eq!((tenant.resident_bytes(), resident.used()), (0, 0));
    }

    #[test]
    fn all_tenants_share_the_hosts_bound() {
        let resident = Resident::new(1500);
        let (a, b) = (tenant("a", 1000, &resident), tenant("b", 1000, &resident));
        let (mut first, mut second) = (resident.reserve(&a), resident.reserve(&b));
        first.add(900).unwrap();
        let refused = second.add(700).unwrap_err();
        assert_eq!(refused, NotResident { whose: Whose::Host, bound: 1500, used: 900, wanted: 700 });
        assert_eq!(b.resident_bytes(), 0);
        let text = refused.to_string();
        for part in ["host's limit (bundles.resident-bytes) is 1.5 KiB", "hold 900 B", "needs 700 B"] {
            assert!(text.contains(part), "{part} not in: {text}");
        }
        second.add(600).unwrap();
    }

    #[test]
    fn concurrent_reservations_stay_within_the_bound() {
        let resident = Resident::new(u64::MAX);
        let tenant = tenant("a", 1000, &resident);
        let passed: Vec<Reservation> = std::thread::scope(|scope| {
            let try_one = || {
                let mut reservation = resident.reserve(&tenant);
                reservation.add(300).is_ok().then_some(reservation)
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(try_one)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!((passed.len(), tenant.resident_bytes()), (3, 900));
    }

    #[test]
    fn a_lowered_limit_keeps_what_is_held_and_refuses_more() {
        let resident = Resident::new(u64::MAX);
        let tenant = tenant("a", 1000, &resident);
        let mut held = resident.reserve(&tenant);
        held.add(800).unwrap();
        tenant.set_limits(TenantLimits { resident_bytes: 100, ..Config::default().tenant });
        assert_eq!(resident.reserve(&tenant).add(1).unwrap_err().used, 800);
        assert_eq!(held.bytes(), 800);
    }
}
