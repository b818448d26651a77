//! Runs NVIDIA Triton with its Python backend, on free ports.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_load::client::{Connection, Server};
use tokio::process::{Child, Command};

/// Timeout of the start, which launches a Python process for each model.
const START: Duration = Duration::from_secs(120);

pub(crate) struct Triton {
    pub server: Server,
    process: Child,
}

impl Triton {
    /// Starts Triton. Its output goes into a file beside the program.
    pub(crate) async fn start(program: &Path) -> Result<Triton> {
        let [http, grpc, metrics] = free_addresses()?;
        let mut command = Command::new(program);
        for (name, address) in [("http", http), ("grpc", grpc), ("metrics", metrics)] {
            command.arg(format!("--{name}-address={}", address.ip())).arg(format!("--{name}-port={}", address.port()));
        }
        let log = program.with_extension("log");
        let file = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let mut triton =
            Triton { server: Server { http, grpc }, process: command.spawn().context("Triton cannot be started")? };
        let ready = triton.ready().await;
        ready.with_context(|| format!("{} tells more", log.display())).map(|()| triton)
    }

    async fn ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < START {
            if let Some(status) = self.process.try_wait()? {
                bail!("Triton ended: {status}");
            }
            if self.is_ready().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("Triton was not ready within {START:?}")
    }

    async fn is_ready(&self) -> Result<()> {
        let request = b"GET /v2/health/ready HTTP/1.1\r\nhost: bench\r\n\r\n";
        Connection::open(self.server.http).await?.exchange(request).await.map(drop)
    }
}

impl Drop for Triton {
    /// SIGTERM lets Triton end its Python processes; after SIGKILL they would notice only much later.
    fn drop(&mut self) {
        let Some(id) = self.process.id() else { return };
        let asked = std::process::Command::new("kill").arg(id.to_string()).status();
        let begun = Instant::now();
        while asked.is_ok() && begun.elapsed() < STOP && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

const STOP: Duration = Duration::from_secs(20);

/// Three free addresses, because Triton does not accept port 0. All listeners stay open until all ports are known, so that
/// the ports differ.
fn free_addresses() -> Result<[SocketAddr; 3]> {
    let listener = || TcpListener::bind("127.0.0.1:0");
    let held = [listener()?, listener()?, listener()?];
    Ok([held[0].local_addr()?, held[1].local_addr()?, held[2].local_addr()?])
}
