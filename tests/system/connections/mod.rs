//! Many, slow, interrupted or abusive connections: they cost bounded memory and do not fail another client's request.

pub(crate) mod dropped;
mod floods;
mod idle;
mod others;
mod places;
pub(crate) mod slow;

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::json;
use system_tests::{Draft, Host, Publisher, Start};

use others::Others;

/// These tests measure, and each has many open files, so they run one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host with two tenants that have the same models, and a key of each tenant.
pub(crate) struct Place {
    pub(crate) host: Host,
    /// Key of the clients that misbehave.
    pub(crate) rude: String,
    /// Key of the well-behaved clients.
    pub(crate) calm: String,
}

impl Place {
    pub(crate) fn of(start: Start) -> Result<Place> {
        let host = start.start()?;
        let acme = Publisher::trusted("acme", &host)?;
        let (echo, endless) = (Draft::identity("acme/echo", "1.0.0"), Draft::hostile("acme/loop", "1.0.0", "loop"));
        let mut keys = Vec::new();
        for tenant in ["rude", "calm"] {
            host.tenant(tenant, &json!({ "concurrency": 4, "queue": 64 }))?;
            acme.push_to(&host, tenant, &echo)?.ok()?;
            acme.push_to(&host, tenant, &endless)?.ok()?;
            keys.push(host.key(tenant, "infer")?);
        }
        let (calm, rude) = (keys.pop().unwrap(), keys.pop().unwrap());
        Ok(Place { host, rude, calm })
    }

    /// `http` holds keys of the section `[http]`. Calls may compute for a minute.
    fn with(http: &str) -> Result<Place> {
        Place::of(Start::default().config(&format!("[http]\n{http}\n[call]\nfuel = '1 T'\ntime = '60s'\n")))
    }

    fn others(&self) -> Result<Others> {
        Others::begin(&self.host, &self.calm)
    }

    /// The authorization header of the misbehaving clients, for HTTP/1.1.
    pub(crate) fn rude_header(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.rude)
    }

    /// Waits until no call is running or waiting and no body is buffered.
    pub(crate) fn wait_until_nothing_is_left(&self) -> Result<()> {
        let host = &self.host;
        system_tests::wait_until(|| {
            let metrics = ["bulkhead_calls_in_flight", "bulkhead_calls_waiting", "bulkhead_buffered_bytes"];
            metrics.iter().try_fold(true, |none, metric| Ok(none && host.metric(metric)? == 0))
        })
    }
}
