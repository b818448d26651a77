//! Limits of one call and of one tenant. A tenant has the host's limits unless an operator set its own, which are written
//! in the same units as the configuration file.
//!
//! [`LIMITS`] is the one table of a tenant's limits. They are read, overridden, serialised and shown by it, so a new limit
//! is a field of [`TenantLimits`] and a row of the table.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::reader::{ConfigErrors, Section};
use super::{GIB, Http, KIB, MIB, format_bytes, format_count};
use crate::numbers::to_usize;

/// Limits of one call. A call that reaches one ends with an error that names it. The derived default is all zeros;
/// `Config::default` has the values that a host starts with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallLimits {
    /// One unit is about one instruction of a plugin, or one multiply-add of a graph.
    pub fuel: u64,
    /// Bytes of all linear memories and tables of the call's instances, of its tensors, and of what its graphs plan to use.
    pub memory: u64,
    /// Time from the start of the first stage.
    pub time: Duration,
    /// Bytes that a plugin may log in one call, standard output and error included.
    pub log: u64,
}

/// Limits of a tenant, for each of its calls and for all of them together. The derived default is all zeros;
/// [`TenantLimits::of_host`] has the values of [`LIMITS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantLimits {
    pub call: CallLimits,
    /// Average fuel of all calls together; `None` is no limit.
    pub fuel_per_second: Option<u64>,
    /// Most fuel that can be saved up and used at once.
    pub fuel_burst: u64,
    /// Bytes that all calls in progress may hold together.
    pub memory: u64,
    /// Calls in progress at once.
    pub concurrency: usize,
    /// Calls that may wait for a slot.
    pub queue: usize,
    /// Streams that may be open, with those that wait for their readers.
    pub streams: usize,
    pub request_bytes: u64,
    pub reply_bytes: u64,
    /// Most versions of models that may be active.
    pub models: usize,
    /// Bytes of all bundles that the tenant stores.
    pub stored_bytes: u64,
    /// Bytes of memory that all of its loaded versions hold: graphs, compiled code, files that plugins read, labels.
    pub resident_bytes: u64,
    /// Bytes of its plugins' lines in the host's log, on average.
    pub log_per_second: u64,
}

/// A limit of a tenant.
pub struct Limit {
    /// The key that an operator sets it by; for a limit of [`Scope::Tenant`] also its key in `[tenant]`.
    pub key: &'static str,
    /// Half a sentence for the command line's help.
    pub about: &'static str,
    scope: Scope,
    field: Field,
}

/// Source of the host's value of a limit, and range of a tenant's own value.
enum Scope {
    /// The section `[tenant]` of the configuration has the host's value. It, and a tenant's own, may be any of the range.
    Tenant { range: RangeInclusive<u64>, default: u64 },
    /// This key of the configuration has the host's value, for all tenants. A tenant's own is between `least` and that.
    Host { key: &'static str, least: u64 },
}

/// The field of a limit, and with it the unit.
#[derive(Clone, Copy)]
enum Field {
    Count(fn(&mut TenantLimits) -> &mut u64),
    Bytes(fn(&mut TenantLimits) -> &mut u64),
    Number(fn(&mut TenantLimits) -> &mut usize),
    Time(fn(&mut TenantLimits) -> &mut Duration),
    /// No limit unless it is set; setting it also sets the burst.
    FuelPerSecond,
    /// Has no effect without fuel per second.
    FuelBurst,
}

/// Largest number of units of fuel in a limit.
const MOST_FUEL: u64 = u64::MAX >> 1;

/// Default burst, in seconds of the tenant's fuel per second.
const BURST_SECONDS: u64 = 10;

/// All limits of a tenant, in the order in which they are shown.
pub static LIMITS: [Limit; 16] = [
    Limit {
        key: "call-fuel",
        about: "fuel of one call, in all of its stages",
        scope: Scope::Host { key: "call.fuel", least: 1 },
        field: Field::Count(|limits| &mut limits.call.fuel),
    },
    Limit {
        key: "call-memory",
        about: "memory of one call: of plugins, tensors and graphs",
        scope: Scope::Host { key: "call.memory", least: 64 * KIB },
        field: Field::Bytes(|limits| &mut limits.call.memory),
    },
    Limit {
        key: "call-time",
        about: "time of one call from the start of its first stage",
        scope: Scope::Host { key: "call.time", least: 0 },
        field: Field::Time(|limits| &mut limits.call.time),
    },
    Limit {
        key: "call-log",
        about: "what the plugins of one call log and print",
        scope: Scope::Host { key: "call.log", least: 0 },
        field: Field::Bytes(|limits| &mut limits.call.log),
    },
    Limit {
        key: "fuel-per-second",
        about: "fuel of all calls together, on average",
        scope: Scope::Tenant { range: 1..=MOST_FUEL, default: 0 },
        field: Field::FuelPerSecond,
    },
    Limit {
        key: "fuel-burst",
        about: "fuel that can be saved up and used at once; needs fuel-per-second",
        scope: Scope::Tenant { range: 1..=MOST_FUEL, default: MOST_FUEL },
        field: Field::FuelBurst,
    },
    Limit {
        key: "memory",
        about: "memory that all calls in progress hold",
        scope: Scope::Tenant { range: MIB..=1 << 40, default: 2 * GIB },
        field: Field::Bytes(|limits| &mut limits.memory),
    },
    Limit {
        key: "concurrency",
        about: "calls in progress at once",
        scope: Scope::Tenant { range: 1..=1024, default: 16 },
        field: Field::Number(|limits| &mut limits.concurrency),
    },
    Limit {
        key: "queue",
        about: "calls that wait for their turn",
        scope: Scope::Tenant { range: 0..=1_000_000, default: 256 },
        field: Field::Number(|limits| &mut limits.queue),
    },
    Limit {
        key: "streams",
        about: "streams that are open, with those that wait for their readers",
        scope: Scope::Tenant { range: 0..=4096, default: 100 },
        field: Field::Number(|limits| &mut limits.streams),
    },
    Limit {
        key: "request-bytes",
        about: "body of a request",
        scope: Scope::Host { key: "http.request-bytes", least: 1 },
        field: Field::Bytes(|limits| &mut limits.request_bytes),
    },
    Limit {
        key: "reply-bytes",
        about: "body of a reply",
        scope: Scope::Host { key: "http.reply-bytes", least: 1 },
        field: Field::Bytes(|limits| &mut limits.reply_bytes),
    },
    Limit {
        key: "models",
        about: "versions of models that are active",
        scope: Scope::Tenant { range: 0..=1_000_000, default: 100 },
        field: Field::Number(|limits| &mut limits.models),
    },
    Limit {
        key: "stored-bytes",
        about: "bundles that are stored",
        scope: Scope::Tenant { range: 0..=1 << 50, default: 10 * GIB },
        field: Field::Bytes(|limits| &mut limits.stored_bytes),
    },
    Limit {
        key: "resident-bytes",
        about: "memory of the versions that are loaded",
        scope: Scope::Tenant { range: 0..=1 << 50, default: 4 * GIB },
        field: Field::Bytes(|limits| &mut limits.resident_bytes),
    },
    Limit {
        key: "log-per-second",
        about: "lines of its plugins in the host's log, on average",
        scope: Scope::Tenant { range: 0..=GIB, default: 64 * KIB },
        field: Field::Bytes(|limits| &mut limits.log_per_second),
    },
];

impl Limit {
    pub fn named(key: &str) -> Option<&'static Limit> {
        LIMITS.iter().find(|limit| limit.key == key)
    }

    /// A value of this limit in the unit that people read.
    pub fn format(&self, value: u64) -> String {
        match self.field {
            Field::Count(_) | Field::FuelPerSecond | Field::FuelBurst => format_count(value),
            Field::Bytes(_) => format_bytes(value),
            Field::Number(_) | Field::Time(_) => value.to_string(),
        }
    }

    /// The bound on a tenant's own value, as half a sentence for the command line's help.
    pub fn bound(&self) -> String {
        match &self.scope {
            Scope::Host { key, .. } => format!("at most the host's {key}"),
            Scope::Tenant { range, .. } if *range.end() == MOST_FUEL => format!("from {}", self.format(*range.start())),
            Scope::Tenant { range, .. } => format!("{} to {}", self.format(*range.start()), self.format(*range.end())),
        }
    }

    fn read(&self, section: &mut Section, range: RangeInclusive<u64>, limits: &mut TenantLimits) {
        match self.field {
            Field::Count(place) => section.count(self.key, range, place(limits)),
            Field::Bytes(place) => section.bytes(self.key, range, place(limits)),
            Field::Number(place) => {
                let range = to_usize(*range.start())..=to_usize(*range.end());
                section.number(self.key, range, place(limits));
            }
            Field::Time(place) => section.duration(self.key, place(limits)),
            Field::FuelPerSecond => {
                let mut fuel_per_second = 0;
                section.count(self.key, range, &mut fuel_per_second);
                if fuel_per_second > 0 {
                    limits.fuel_per_second = Some(fuel_per_second);
                    limits.fuel_burst = fuel_per_second.saturating_mul(BURST_SECONDS);
                }
            }
            Field::FuelBurst => section.count(self.key, range, &mut limits.fuel_burst),
        }
    }

    /// Sets a limit of [`Scope::Tenant`] to its default.
    fn reset(&self, limits: &mut TenantLimits) {
        let Scope::Tenant { default, .. } = self.scope else { return };
        match self.field {
            Field::Count(place) | Field::Bytes(place) => *place(limits) = default,
            Field::Number(place) => *place(limits) = to_usize(default),
            Field::Time(place) => *place(limits) = Duration::from_millis(default),
            Field::FuelPerSecond => limits.fuel_per_second = Some(default).filter(|fuel| *fuel > 0),
            Field::FuelBurst => limits.fuel_burst = default,
        }
    }

    /// The value as an operator sees it; `None` if there is no such limit.
    fn value(&self, limits: &TenantLimits) -> Option<Value> {
        // The fields are reached mutably, so that one function of a row reads and writes.
        let mut limits = limits.clone();
        Some(match self.field {
            Field::Count(place) | Field::Bytes(place) => (*place(&mut limits)).into(),
            Field::Number(place) => (*place(&mut limits)).into(),
            Field::Time(place) => humantime::format_duration(*place(&mut limits)).to_string().into(),
            Field::FuelPerSecond => limits.fuel_per_second?.into(),
            Field::FuelBurst => limits.fuel_per_second.map(|_| limits.fuel_burst)?.into(),
        })
    }
}

impl CallLimits {
    pub(super) fn read(&mut self, section: &mut Section) {
        section.count("fuel", 1..=MOST_FUEL, &mut self.fuel);
        section.bytes("memory", 64 * KIB..=4 * GIB, &mut self.memory);
        section.duration("time", &mut self.time);
        section.bytes("log", 0..=64 * MIB, &mut self.log);
    }
}

impl TenantLimits {
    /// The limits of each tenant of a host without a section `[tenant]`.
    pub(super) fn of_host(call: &CallLimits, http: &Http) -> TenantLimits {
        let mut limits = TenantLimits::default();
        LIMITS.iter().for_each(|limit| limit.reset(&mut limits));
        limits.inherit(call, http);
        limits
    }

    /// Takes over the limits of [`Scope::Host`].
    pub(super) fn inherit(&mut self, call: &CallLimits, http: &Http) {
        self.call = call.clone();
        self.request_bytes = http.request_bytes;
        self.reply_bytes = http.reply_bytes;
    }

    /// Reads the keys of the `[tenant]` section, which a tenant's own limits have too.
    pub(super) fn read(&mut self, section: &mut Section) {
        for limit in &LIMITS {
            if let Scope::Tenant { range, .. } = &limit.scope {
                limit.read(section, range.clone(), self);
            }
        }
    }

    /// These limits, with a tenant's own in place of some. Fails if the own limits of a call, a request or a reply exceed
    /// the host's.
    pub fn with(&self, own: &Map<String, Value>) -> Result<TenantLimits, ConfigErrors> {
        let mut limits = self.clone();
        let mut section = Section::from_json(own)?;
        limits.read(&mut section);
        for limit in &LIMITS {
            if let Scope::Host { least, .. } = limit.scope {
                let most = limit.value(self).and_then(|value| value.as_u64()).unwrap_or(u64::MAX);
                limit.read(&mut section, least..=most, &mut limits);
            }
        }
        if limits.call.time > self.call.time {
            let (own, most) = (limits.call.time, self.call.time);
            let (own, most) = (humantime::format_duration(own), humantime::format_duration(most));
            section.refuse(format!("call-time must be at most the host's call.time, {most}, not {own}"));
        }
        section.finish()?;
        Ok(limits)
    }
}

/// Serializes the limits under the keys that an operator sets them by.
impl Serialize for TenantLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(LIMITS.iter().filter_map(|limit| Some((limit.key, limit.value(self)?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn own(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_tenant_has_the_hosts_limits_but_for_its_own() {
        let host = Config::default().tenant;
        let limits = host.with(&own(r#"{"call-fuel": "2 M", "fuel-per-second": 1000, "concurrency": 3}"#)).unwrap();
        assert_eq!(limits.call.fuel, 2_000_000);
        assert_eq!((limits.fuel_per_second, limits.fuel_burst), (Some(1000), 10_000));
        assert_eq!((limits.concurrency, limits.queue), (3, host.queue));
    }

    #[test]
    fn no_call_gets_more_than_the_host_gives() {
        let host = Config::default().tenant;
        let longer = host.with(&own(r#"{"call-time": "2h"}"#)).unwrap_err().to_string();
        assert!(longer.contains("call-time must be at most the host's call.time"), "{longer}");
        let wrong = host.with(&own(r#"{"call-fuel": "99 T", "call-memory": "3 GiB", "fule": 1}"#));
        let wrong = wrong.unwrap_err().to_string();
        for part in ["call-fuel must be", "call-memory must be", "there is no key \"fule\""] {
            assert!(wrong.contains(part), "{part} not in:\n{wrong}");
        }
    }

    /// `fuel-burst` is not shown without fuel per second, because it has no effect then.
    #[test]
    fn each_limit_that_is_set_is_shown() {
        let host = Config::default().tenant;
        let other = TenantLimits { fuel_per_second: Some(7), fuel_burst: 70, ..host.clone() };
        for limit in &LIMITS {
            let value = limit.value(&other).unwrap();
            let limits = host.with(&Map::from_iter([(limit.key.to_owned(), value.clone())])).unwrap();
            let shown = serde_json::to_value(&limits).unwrap();
            assert!(limit.key == "fuel-burst" || shown[limit.key] == value, "{}: {shown}", limit.key);
        }
        assert_eq!(serde_json::to_value(&host).unwrap().as_object().unwrap().len(), LIMITS.len() - 2);
    }

    /// The example in the document has a line for each limit, with its default; a limit that is unset by default has a line
    /// that says what holds then.
    #[test]
    fn the_document_has_each_limit_with_its_default() {
        let document = include_str!("../../../docs/configuration.md");
        let example = document.split("```").nth(1).unwrap().trim_start_matches("toml");
        let table: toml::Table = example.parse().unwrap();
        let host = Config::default().tenant;
        for limit in &LIMITS {
            let (section, key) = match limit.scope {
                Scope::Tenant { .. } => ("tenant", limit.key),
                Scope::Host { key, .. } => key.split_once('.').unwrap(),
            };
            let documented = table[section].get(key).unwrap_or_else(|| panic!("{section}.{key} is not documented"));
            let Some(default) = limit.value(&host) else {
                let line = example.lines().find(|line| line.starts_with(limit.key)).unwrap();
                assert!(line.contains("Default: "), "{line}");
                continue;
            };
            let stated = Map::from_iter([(limit.key.to_owned(), serde_json::to_value(documented).unwrap())]);
            assert_eq!(limit.value(&host.with(&stated).unwrap()), Some(default), "{section}.{key}");
        }
    }
}
