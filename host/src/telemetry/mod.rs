//! Metrics of the host in Prometheus' format; the only user of the metrics library. The handles of a model are made when it
//! is activated, so that a request only adds to counters.

mod line_queue;
pub mod log;
mod model;
mod registry;
mod statistics;

use std::sync::Arc;

use model::Families;
use registry::Counters;

pub use model::ModelMetrics;
pub use registry::{Counter, Gauge, MetricsError, Registry};
pub use statistics::{BatchSnapshot, DurationStats, Snapshot, Statistics, Timings};

/// The outcome label of a request that was answered; refusals are counted under their error code.
pub const OK: &str = "ok";

pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
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
            families: Arc::new(Families::new(&registry)?),
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

    /// The counters of a version of a tenant's model, which are shown as long as they exist.
    pub fn model(&self, tenant: &str, model: &str, version: &str, stages: &[&str]) -> ModelMetrics {
        self.families.version([tenant, model, version], stages)
    }

    /// Counts a request that was refused, and named no model that exists.
    pub fn refused(&self, code: &str) {
        self.families.refused(code);
    }

    pub fn graph_runner_ended(&self, reason: &str) {
        self.graph_runner_ends.with([reason]).inc();
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.registry.render()
    }
}
