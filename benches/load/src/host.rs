//! The product as a program of its own, on free ports.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub struct Host {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    _process: Child,
}

impl Host {
    /// Serves a folder of bundles.
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
        Ok(Host { http: address("http")?, grpc: address("grpc")?, _process: process })
    }
}
