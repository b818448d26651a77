//! Metrics of the host in Prometheus' format; the only user of the metrics library. The handles of a model are made when it
//! is activated, so that a request only adds to counters.

mod line_queue;
pub mod log;
mod registry;
mod statistics;

use std::time::Duration;

use prometheus::exponential_buckets;

use registry::{Counters, Histogram, Histograms};

use crate::tenant::CallUsage;

pub use registry::{Counter, Gauge, MetricsError, Registry};
pub use statistics::{BatchSnapshot, DurationStats, Snapshot, Statistics, Timings};

/// The outcome label of a request that was answered; refusals are counted under their error code.
pub const OK: &str = "ok";

pub struct Metrics {
    registry: Registry,
    requests: Counters<2>,
    stage_seconds: Histograms<3>,
    fuel: Histograms<2>,
    peak_memory: Histograms<2>,
    shadows: Counters<3>,
    pub in_flight: Gauge,
    pub waiting: Gauge,
    pub paused_streams: Gauge,
    pub connections: Gauge,
    pub admin_connections: Gauge,
    pub refused_connections: Counter,
    pub buffered_bytes: Gauge,
    /// Threads that have not come back from a call.
    pub stuck_threads: Gauge,
    /// Processes that run graphs.
    pub graph_runners: Gauge,
    graph_runner_ends: Counters<1>,
}

/// The counters of one version of a model.
pub struct ModelMetrics {
    pub ok: Counter,
    pub statistics: Statistics,
    stages: Vec<Histogram>,
    fuel: Histogram,
    peak_memory: Histogram,
}

/// The result of comparing a shadow's response with the one that the client received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowOutcome {
    Same,
    Different,
    Failed,
    /// The request did not run in the shadow, because the owner's limits left no room.
    Skipped,
}

impl Metrics {
    pub fn new() -> Result<Metrics, MetricsError> {
        let registry = Registry::default();
        let version = ("version", env!("CARGO_PKG_VERSION"));
        registry.constant("bulkhead_build_info", "Always 1; the version is a label", version)?;
        Ok(Metrics {
            requests: registry.counters(
                "bulkhead_requests_total",
                "Inference requests by model and outcome: ok, or an error code",
                ["model", "outcome"],
            )?,
            stage_seconds: registry.histograms(
                "bulkhead_stage_duration_seconds",
                "Time in a stage",
                ["model", "version", "stage"],
                exponential_buckets(5e-6, 2.5, 16)?,
            )?,
            fuel: registry.histograms(
                "bulkhead_call_fuel",
                "Fuel that a call used in all of its stages",
                ["model", "version"],
                exponential_buckets(1e4, 4.0, 12)?,
            )?,
            peak_memory: registry.histograms(
                "bulkhead_call_peak_memory_bytes",
                "The most memory that a call held at once",
                ["model", "version"],
                exponential_buckets(65_536.0, 2.0, 14)?,
            )?,
            shadows: registry.counters(
                "bulkhead_shadow_requests_total",
                "Requests copied to a shadow, by its version and by how its response compared with the client's: same, different, failed, or skipped because the owner's limits left no room",
                ["model", "version", "outcome"],
            )?,
            in_flight: registry
                .gauge("bulkhead_calls_in_flight", "Calls in progress, with streams that wait for their readers")?,
            waiting: registry.gauge("bulkhead_calls_waiting", "Calls that wait for a slot")?,
            paused_streams: registry.gauge(
                "bulkhead_streams_paused",
                "Streams that wait for their readers and hold no slot meanwhile",
            )?,
            connections: registry.gauge("bulkhead_connections", "Open client connections")?,
            buffered_bytes: registry.gauge(
                "bulkhead_buffered_bytes",
                "Bytes of bodies that arrived and of replies that were not sent yet, in steps of 1 KiB",
            )?,
            stuck_threads: registry.gauge(
                "bulkhead_compute_threads_stuck",
                "Compute threads that have not come back from a call long after its time",
            )?,
            graph_runners: registry.gauge("bulkhead_graph_runners", "Processes that run the graphs of a tenant")?,
            graph_runner_ends: registry.counters(
                "bulkhead_graph_runner_ends_total",
                "Processes that run graphs and ended, by reason: closed (its last graph was dropped), deadline, memory, crash, loading (it took too long), or nonsense (an invalid answer)",
                ["reason"],
            )?,
            admin_connections: registry.gauge("bulkhead_admin_connections", "Open connections of the operator")?,
            refused_connections: registry.counter(
                "bulkhead_connections_refused_total",
                "Connections that were closed because their address held its fair share",
            )?,
            registry,
        })
    }

    pub fn model(&self, model: &str, version: &str, stages: &[&str]) -> ModelMetrics {
        let stage = |stage: &&str| self.stage_seconds.with([model, version, stage]);
        ModelMetrics {
            ok: self.requests.with([model, OK]),
            statistics: Statistics::default(),
            stages: stages.iter().map(stage).collect(),
            fuel: self.fuel.with([model, version]),
            peak_memory: self.peak_memory.with([model, version]),
        }
    }

    /// Counts a request that was refused. `model` is empty if the request named no existing model, because a client must
    /// not be able to create label values.
    pub fn refused(&self, model: &str, code: &str) {
        self.requests.with([model, code]).inc();
    }

    pub fn shadowed(&self, model: &str, version: &str, outcome: ShadowOutcome) {
        let outcome = match outcome {
            ShadowOutcome::Same => "same",
            ShadowOutcome::Different => "different",
            ShadowOutcome::Failed => "failed",
            ShadowOutcome::Skipped => "skipped",
        };
        self.shadows.with([model, version, outcome]).inc();
    }

    pub fn graph_runner_ended(&self, reason: &str) {
        self.graph_runner_ends.with([reason]).inc();
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.registry.render()
    }
}

impl ModelMetrics {
    pub fn stage_took(&self, stage: usize, time: Duration) {
        if let Some(histogram) = self.stages.get(stage) {
            histogram.observe(time.as_secs_f64());
        }
    }

    pub fn call_used(&self, usage: CallUsage) {
        self.fuel.observe(usage.fuel as f64);
        self.peak_memory.observe(usage.peak_memory as f64);
    }
}
