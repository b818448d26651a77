//! The protocol of systemd, by which a supervisor learns that a service is ready, that it ends, and that it is alive: see
//! sd_notify(3) and sd_watchdog_enabled(3). Without the variables of that protocol in the environment, nothing is sent.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The supervisor of this process.
#[derive(Clone)]
pub(super) struct Supervisor {
    /// Value of `NOTIFY_SOCKET`: a path, or an abstract name after `@`.
    socket: Option<String>,
    /// Interval of signs of life: half of what the supervisor allows.
    interval: Option<Duration>,
}

impl Supervisor {
    pub(super) const READY: &str = "READY=1\nSTATUS=serving";
    pub(super) const STOPPING: &str = "STOPPING=1\nSTATUS=shutting down";
    const ALIVE: &str = "WATCHDOG=1";

    pub(super) fn from_environment() -> Supervisor {
        let socket = env::var("NOTIFY_SOCKET").ok().filter(|socket| !socket.is_empty());
        // The variables may be those of a parent process.
        let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let allowed = env::var("WATCHDOG_USEC").ok().filter(|_| ours).and_then(|text| text.parse().ok());
        let interval = allowed.map(|allowed: u64| Duration::from_micros((allowed / 2).max(1000)));
        Supervisor { socket, interval }
    }

    /// Tells the supervisor a state.
    pub(super) fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, state) {
            tracing::warn!(socket, %error, "the supervisor that NOTIFY_SOCKET names cannot be told the state");
        }
    }

    /// Tells the supervisor again and again that the process is alive, if it wants to know.
    pub(super) async fn keep_watchdog(self) {
        let Some(interval) = self.interval else { return };
        loop {
            self.tell(Supervisor::ALIVE);
            tokio::time::sleep(interval).await;
        }
    }
}

fn send(socket: &str, state: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A supervisor that does not read must not hold up the host.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address).map(drop)
}
