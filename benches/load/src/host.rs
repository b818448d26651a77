//! Starts the host as a separate process, on free ports.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::Server;

pub struct Host {
    pub server: Server,
    _process: Child,
}

/// Command-line options that say which host a benchmark starts.
#[derive(clap::Args)]
pub struct Program {
    /// The host's program.
    #[arg(long)]
    pub host: PathBuf,
    /// Folder of bundles to serve.
    #[arg(long)]
    pub models: PathBuf,
}

impl Program {
    pub async fn start(&self) -> Result<Host> {
        Host::start(&self.host, &self.models).await
    }
}

impl Host {
    /// Starts the host with a folder of bundles.
    pub async fn start(program: &Path, models: &Path) -> Result<Host> {
        let mut command = Command::new(program);
        command.args(["serve", "--dev", "--log-level", "warn", "--models"]).arg(models);
        for listener in ["--http", "--grpc", "--admin"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line).await?;
        let addresses: serde_json::Value = serde_json::from_str(&line)?;
        let address = |name: &str| Ok::<_, anyhow::Error>(addresses[name].as_str().context("no address")?.parse()?);
        let server = Server { http: address("http")?, grpc: address("grpc")? };
        Ok(Host { server, _process: process })
    }
}
