//! NVIDIA's load generator, with the same arguments for both servers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use bulkhead_load::client::Server;

/// What it measures: one of its windows, three of which make a report.
const WINDOW: Duration = Duration::from_millis(1000);

/// A run of it.
#[derive(Clone, Copy)]
pub struct Run {
    pub model: &'static str,
    /// `http` or `grpc`.
    pub protocol: &'static str,
    pub concurrency: usize,
    /// Name and dimensions of the input, as it wants them.
    pub shape: &'static str,
}

/// What it found.
pub struct Report {
    pub requests_per_second: f64,
    /// The median, in microseconds.
    pub latency: f64,
}

impl Run {
    pub async fn of(&self, server: &Server, program: &Path) -> Result<Report> {
        let address = if self.protocol == "grpc" { server.grpc } else { server.http }.to_string();
        let folder = tempfile::tempdir()?;
        let report = folder.path().join("report.csv");
        let mut command = Command::new(program);
        command.args(["-m", self.model, "-i", self.protocol, "-u", &address, "--shape", self.shape]);
        command.args(["--concurrency-range", &self.concurrency.to_string()]);
        // It would go on until three windows agree, which they seldom do on a shared machine; it is our rounds that repeat.
        command.args(["--stability-percentage", "999", "--max-trials", "3"]);
        command.args(["--measurement-interval", &WINDOW.as_millis().to_string()]);
        let output = command.arg("-f").arg(&report).output().await.context("perf_analyzer cannot be started")?;
        let Ok(text) = std::fs::read_to_string(&report) else {
            let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            bail!("perf_analyzer: {}\n{said}\n{failed}", output.status);
        };
        Report::read(&text).with_context(|| format!("the report of perf_analyzer:\n{text}"))
    }
}

impl Report {
    fn read(text: &str) -> Option<Report> {
        let mut lines = text.lines();
        let (names, values) = (lines.next()?, lines.next()?);
        let column = |wanted: &str| {
            let at = names.split(',').position(|name| name == wanted)?;
            values.split(',').nth(at)?.parse().ok()
        };
        Some(Report { requests_per_second: column("Inferences/Second")?, latency: column("p50 latency")? })
    }
}
