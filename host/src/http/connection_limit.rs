//! Limits on concurrent connections: a bound for all of them, which the process's limit on open files must allow, and a
//! fair share for each address, so that no address takes the connections of all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Http;
use crate::scheduler::fair_share;
use crate::telemetry::{Counter, Gauge};

/// Permits for connections, of one listener or of several together.
pub struct Connections {
    permits: Arc<Semaphore>,
    addresses: Mutex<Addresses>,
    open: Gauge,
    refused: Counter,
}

#[derive(Default)]
struct Addresses {
    held: HashMap<IpAddr, usize>,
    /// Refused connections that the log does not have yet.
    refused: u64,
    told: Option<Instant>,
}

/// The permit of one connection, returned when it is dropped.
pub struct ConnectionPermit {
    connections: Arc<Connections>,
    address: IpAddr,
    _free: OwnedSemaphorePermit,
}

/// Interval between two log lines about refused connections.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Connections {
    pub fn new(most: usize, open: Gauge, refused: Counter) -> Arc<Connections> {
        let permits = Arc::new(Semaphore::new(most));
        Arc::new(Connections { permits, addresses: Mutex::default(), open, refused })
    }

    /// Waits for a free permit and gives it to the address; `None` if the address has its share already.
    pub async fn take(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        // An error would mean that the semaphore was closed, which never happens.
        let free = self.permits.clone().acquire_owned().await.ok()?;
        let address = network(address);
        let mut addresses = self.addresses();
        let held = addresses.held.get(&address).copied().unwrap_or_default();
        if held >= fair_share::of_free(self.permits.available_permits() + 1) {
            self.refused.inc();
            addresses.tell(address, held);
            return None;
        }
        addresses.held.insert(address, held + 1);
        self.open.inc();
        Some(ConnectionPermit { connections: self.clone(), address, _free: free })
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.open.dec();
        let mut addresses = self.connections.addresses();
        match addresses.held.get_mut(&self.address) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(addresses.held.remove(&self.address)),
        }
    }
}

impl Addresses {
    fn tell(&mut self, address: IpAddr, held: usize) {
        self.refused += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        let refused = std::mem::take(&mut self.refused);
        self.told = Some(Instant::now());
        tracing::warn!(%address, held, refused, "an address has its share of http.connections; new ones are closed");
    }
}

/// The holder of a share: an IPv4 address, or the /64 network of an IPv6 address, within which one client may choose
/// addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        address => address,
    }
}

/// Bounds on connections, within the process's limit on open files.
pub struct ConnectionLimits {
    pub clients: usize,
    pub operator: usize,
}

/// Connections of the operator's port, which clients never take.
const OPERATOR: u64 = 256;

/// Open files that are kept free for the operator's connections, the database, uploads, and pipes to child processes.
const RESERVED: u64 = 2 * OPERATOR;

impl ConnectionLimits {
    /// Raises the limit on open files as far as the process may, and derives the bounds from it. Logs a warning if
    /// `http.connections` is more than that allows.
    pub fn make(http: &Http) -> ConnectionLimits {
        let files = raise_open_files();
        let limits = ConnectionLimits::within(files, http.connections);
        if limits.clients < http.connections {
            let (wanted, possible) = (http.connections, limits.clients);
            tracing::warn!(
                wanted,
                possible,
                files,
                "the open-file limit is too low for http.connections; raise the hard limit (LimitNOFILE, ulimit -Hn)"
            );
        }
        limits
    }

    fn within(files: u64, wanted: usize) -> ConnectionLimits {
        let clients = files.saturating_sub(RESERVED.min(files / 2));
        ConnectionLimits {
            clients: wanted.min(crate::numbers::to_usize(clients)),
            operator: crate::numbers::to_usize(OPERATOR.min(files / 4)),
        }
    }
}

fn raise_open_files() -> u64 {
    let given = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: given.maximum, maximum: given.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the open-file limit cannot be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn of(most: usize) -> Arc<Connections> {
        let registry = crate::telemetry::Registry::default();
        Connections::new(most, registry.gauge("a", "open").unwrap(), registry.counter("b", "refused").unwrap())
    }

    /// Takes connections until the address gets no more.
    fn all(connections: &Arc<Connections>, address: &str) -> Vec<ConnectionPermit> {
        let next = || connections.take(address.parse().unwrap()).now_or_never().flatten();
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn no_address_takes_all_connections() {
        let connections = of(1000);
        let greedy = all(&connections, "192.0.2.1");
        assert_eq!(greedy.len(), 750);
        let second = all(&connections, "192.0.2.2");
        assert!((180..250).contains(&second.len()), "{}", second.len());
        assert!(!all(&connections, "192.0.2.3").is_empty());
        drop(greedy);
        assert_eq!(connections.open.get(), i64::try_from(second.len()).unwrap());
        assert!(!all(&connections, "192.0.2.1").is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_party() {
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap()), network("2001:db8:1:2:ffff::".parse().unwrap()));
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn connections_fit_into_the_open_files() {
        for (files, wanted, clients) in
            [(20_000, 16_384, 16_384), (4096, 16_384, 3584), (256, 16_384, 128), (4096, 3, 3)]
        {
            let limits = ConnectionLimits::within(files, wanted);
            assert_eq!(limits.clients, clients, "{files}");
            assert!((limits.clients + limits.operator) as u64 <= files);
        }
    }
}
