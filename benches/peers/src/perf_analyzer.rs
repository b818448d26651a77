//! Runs NVIDIA's load generator with the same arguments for both servers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use bulkhead_load::client::Server;

/// Length of a measurement window; a report needs three of them.
const WINDOW: Duration = Duration::from_millis(1000);

/// Arguments of a run.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub model: &'static str,
    /// `http` or `grpc`.
    pub protocol: &'static str,
    pub concurrency: usize,
    /// Name and dimensions of the input, in perf_analyzer's syntax.
    pub shape: &'static str,
}

/// Results of a run.
pub(crate) struct Report {
    pub requests_per_second: f64,
    /// Median latency in microseconds.
    pub latency: f64,
}

impl Run {
    pub(crate) async fn of(&self, server: &Server, program: &Path) -> Result<Report> {
        let address = if self.protocol == "grpc" { server.grpc } else { server.http }.to_string();
        let folder = tempfile::tempdir()?;
        let report = folder.path().join("report.csv");
        let mut command = Command::new(program);
        command.args(["-m", self.model, "-i", self.protocol, "-u", &address, "--shape", self.shape]);
        command.args(["--concurrency-range", &self.concurrency.to_string()]);
        // By default it repeats until three windows agree, which is rare on a shared machine; the benchmark repeats its own
        // rounds instead.
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
