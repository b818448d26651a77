//! The registry of metrics. Its methods are the only constructors of counters, gauges and histograms, because their fields
//! are private to this file; so each metric is in the registry, and is shown.

use prometheus::core::Collector;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder};

pub use prometheus::Error as MetricsError;

#[derive(Default)]
pub struct Registry(prometheus::Registry);

#[derive(Clone)]
pub struct Counter(IntCounter);

#[derive(Clone)]
pub struct Gauge(IntGauge);

pub(super) struct Histogram(prometheus::Histogram);

/// A counter for each combination of the values of `LABELS` labels.
pub(super) struct Counters<const LABELS: usize>(IntCounterVec);

/// A histogram for each combination of the values of `LABELS` labels.
pub(super) struct Histograms<const LABELS: usize>(HistogramVec);

impl Registry {
    pub fn counter(&self, name: &str, about: &str) -> Result<Counter, MetricsError> {
        self.register(IntCounter::new(name, about)?).map(Counter)
    }

    pub fn gauge(&self, name: &str, about: &str) -> Result<Gauge, MetricsError> {
        self.register(IntGauge::new(name, about)?).map(Gauge)
    }

    /// A gauge that is always 1, with a label and its value.
    pub(super) fn constant(&self, name: &str, about: &str, (label, value): (&str, &str)) -> Result<(), MetricsError> {
        let gauge = IntGauge::with_opts(Opts::new(name, about).const_label(label, value))?;
        gauge.set(1);
        self.register(gauge).map(drop)
    }

    pub(super) fn counters<const LABELS: usize>(
        &self,
        name: &str,
        about: &str,
        labels: [&str; LABELS],
    ) -> Result<Counters<LABELS>, MetricsError> {
        self.register(IntCounterVec::new(Opts::new(name, about), &labels)?).map(Counters)
    }

    /// `buckets` are their upper bounds, in ascending order.
    pub(super) fn histograms<const LABELS: usize>(
        &self,
        name: &str,
        about: &str,
        labels: [&str; LABELS],
        buckets: Vec<f64>,
    ) -> Result<Histograms<LABELS>, MetricsError> {
        self.register(HistogramVec::new(HistogramOpts::new(name, about).buckets(buckets), &labels)?).map(Histograms)
    }

    /// Fails if a metric has this name already.
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, MetricsError> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// All metrics in Prometheus' text format.
    pub(super) fn render(&self) -> Result<Vec<u8>, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.gather(), &mut text)?;
        Ok(text)
    }
}

impl Counter {
    pub fn inc(&self) {
        self.0.inc();
    }
}

impl Gauge {
    pub fn inc(&self) {
        self.0.inc();
    }

    pub fn dec(&self) {
        self.0.dec();
    }

    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    pub fn get(&self) -> i64 {
        self.0.get()
    }
}

impl Histogram {
    pub(super) fn observe(&self, value: f64) {
        self.0.observe(value);
    }
}

// The library panics if the number of values is not that of the labels; the type makes both `LABELS`.
impl<const LABELS: usize> Counters<LABELS> {
    pub(super) fn with(&self, values: [&str; LABELS]) -> Counter {
        Counter(self.0.with_label_values(&values))
    }

    /// Removes the series with these values.
    pub(super) fn remove(&self, values: [&str; LABELS]) {
        // An error would mean that the series was never made, or is gone already.
        let _ = self.0.remove_label_values(&values);
    }
}

impl<const LABELS: usize> Histograms<LABELS> {
    pub(super) fn with(&self, values: [&str; LABELS]) -> Histogram {
        Histogram(self.0.with_label_values(&values))
    }

    /// Removes the series with these values.
    pub(super) fn remove(&self, values: [&str; LABELS]) {
        // An error would mean that the series is gone already.
        let _ = self.0.remove_label_values(&values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_shown_once() {
        let registry = Registry::default();
        registry.counter("a", "a").unwrap().inc();
        registry.gauge("b", "b").unwrap().set(-2);
        registry.constant("c", "c", ("label", "x")).unwrap();
        registry.counters("d", "d", ["one", "two"]).unwrap().with(["x", "y"]).inc();
        registry.histograms("e", "e", ["one"], vec![1.0]).unwrap().with(["x"]).observe(2.0);
        let text = String::from_utf8(registry.render().unwrap()).unwrap();
        for line in ["a 1", "b -2", "c{label=\"x\"} 1", "d{one=\"x\",two=\"y\"} 1", "e_count{one=\"x\"} 1"] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
        assert!(registry.gauge("a", "a").is_err(), "a second metric of the name");
    }
}
