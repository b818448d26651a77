//! Limits of one call and of one tenant. A tenant has the host's limits unless an operator set its own, which are written
//! in the same units as the configuration file.

use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::reader::{ConfigErrors, Section};
use super::{GIB, KIB, MIB};

/// Limits of one call. A call that reaches one ends with an error that names it.
#[derive(Clone, Debug, PartialEq)]
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

/// Limits of a tenant, for each of its calls and for all of them together.
#[derive(Clone, Debug, PartialEq)]
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
    pub request_bytes: u64,
    pub reply_bytes: u64,
    /// Most versions of models that may be active.
    pub models: usize,
    /// Bytes of all bundles that the tenant stores.
    pub stored_bytes: u64,
    /// Bytes of memory that all of its loaded versions hold: graphs, compiled code, files that plugins read, labels.
    pub resident_bytes: u64,
}

impl CallLimits {
    pub(super) fn read(&mut self, section: &mut Section) {
        section.count("fuel", 1..=MOST_FUEL, &mut self.fuel);
        section.bytes("memory", 64 * KIB..=4 * GIB, &mut self.memory);
        section.duration("time", &mut self.time);
        section.bytes("log", 0..=64 * MIB, &mut self.log);
    }
}

const MOST_FUEL: u64 = u64::MAX >> 1;

/// Default burst, in seconds of the tenant's fuel per second.
const BURST_SECONDS: u64 = 10;

impl TenantLimits {
    /// Reads the keys of the `[tenant]` section, which a tenant's own limits have too.
    pub(super) fn read(&mut self, section: &mut Section) {
        let mut fuel_per_second = 0;
        section.count("fuel-per-second", 1..=MOST_FUEL, &mut fuel_per_second);
        if fuel_per_second > 0 {
            self.fuel_per_second = Some(fuel_per_second);
            self.fuel_burst = fuel_per_second.saturating_mul(BURST_SECONDS);
        }
        section.count("fuel-burst", 1..=MOST_FUEL, &mut self.fuel_burst);
        section.bytes("memory", MIB..=1 << 40, &mut self.memory);
        section.number("concurrency", 1..=1024, &mut self.concurrency);
        section.number("queue", 0..=1_000_000, &mut self.queue);
        section.number("models", 0..=1_000_000, &mut self.models);
        section.bytes("stored-bytes", 0..=1 << 50, &mut self.stored_bytes);
        section.bytes("resident-bytes", 0..=1 << 50, &mut self.resident_bytes);
    }

    /// These limits, with a tenant's own in place of some. Fails if the own limits of a call, a request or a reply exceed
    /// the host's; only a longer `call-time` is shortened to the host's.
    pub fn with(&self, own: &serde_json::Map<String, serde_json::Value>) -> Result<TenantLimits, ConfigErrors> {
        let mut limits = self.clone();
        let mut section = Section::from_json(own)?;
        limits.read(&mut section);
        let host = &self.call;
        section.count("call-fuel", 1..=host.fuel, &mut limits.call.fuel);
        section.bytes("call-memory", 64 * KIB..=host.memory, &mut limits.call.memory);
        section.duration("call-time", &mut limits.call.time);
        section.bytes("call-log", 0..=host.log, &mut limits.call.log);
        section.bytes("request-bytes", 1..=self.request_bytes, &mut limits.request_bytes);
        section.bytes("reply-bytes", 1..=self.reply_bytes, &mut limits.reply_bytes);
        section.finish()?;
        limits.call.time = limits.call.time.min(host.time);
        Ok(limits)
    }
}

/// Serializes the limits under the keys that an operator sets them by.
impl Serialize for TenantLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut limits = serializer.serialize_map(None)?;
        limits.serialize_entry("call-fuel", &self.call.fuel)?;
        limits.serialize_entry("call-memory", &self.call.memory)?;
        limits.serialize_entry("call-time", &humantime::format_duration(self.call.time).to_string())?;
        limits.serialize_entry("call-log", &self.call.log)?;
        if let Some(per_second) = self.fuel_per_second {
            limits.serialize_entry("fuel-per-second", &per_second)?;
            limits.serialize_entry("fuel-burst", &self.fuel_burst)?;
        }
        limits.serialize_entry("memory", &self.memory)?;
        limits.serialize_entry("concurrency", &self.concurrency)?;
        limits.serialize_entry("queue", &self.queue)?;
        limits.serialize_entry("request-bytes", &self.request_bytes)?;
        limits.serialize_entry("reply-bytes", &self.reply_bytes)?;
        limits.serialize_entry("models", &self.models)?;
        limits.serialize_entry("stored-bytes", &self.stored_bytes)?;
        limits.serialize_entry("resident-bytes", &self.resident_bytes)?;
        limits.end()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn own(text: &str) -> serde_json::Map<String, serde_json::Value> {
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
        let wrong = host.with(&own(r#"{"call-fuel": "99 T", "call-memory": "3 GiB", "fule": 1}"#));
        let wrong = wrong.unwrap_err().to_string();
        for part in ["call-fuel must be", "call-memory must be", "\"fule\" is not a key here"] {
            assert!(wrong.contains(part), "{part} not in:\n{wrong}");
        }
    }
}
