//! The series of models. Each version of a tenant's model has its own, from its activation to the drop of its last handle:
//! series of versions that are out of service, and of deleted tenants, would stay in every scrape for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::exponential_buckets;

use super::registry::{Counter, Counters, Histogram, Histograms, MetricsError, Registry};
use super::statistics::Statistics;
use super::{OK, ShadowOutcome};
use crate::tenant::CallUsage;

/// Bound on the histograms of all versions together: a few megabytes of a scrape. A tenant has at most as many as it leaves
/// free, so that none takes all. Versions beyond these bounds share series.
const MOST_HISTOGRAMS: usize = 10_000;

/// The outcomes of copied requests.
const SHADOW_OUTCOMES: [&str; 4] = ["same", "different", "failed", "skipped"];

/// The value of every label of the shared series.
const OTHER: &str = "_other";

/// The families of series with the labels of a model.
pub(super) struct Families {
    requests: Counters<3>,
    stage_seconds: Histograms<4>,
    fuel: Histograms<3>,
    peak_memory: Histograms<3>,
    shadows: Counters<4>,
    versions: Mutex<Versions>,
}

#[derive(Default)]
struct Versions {
    known: BTreeMap<Place, Known>,
    /// Histograms of all versions that are known.
    histograms: usize,
    /// Those of each tenant.
    of_tenants: BTreeMap<Arc<str>, usize>,
    /// The error codes that were counted for a tenant's model, by handles that are dropped.
    codes: BTreeMap<(Arc<str>, Arc<str>), BTreeSet<&'static str>>,
}

/// Tenant, model and version.
type Place = (Arc<str>, Arc<str>, Arc<str>);

#[derive(Default)]
struct Known {
    /// Handles of the version: while it is activated anew, there are several.
    handles: usize,
    stages: BTreeSet<String>,
}

/// The counters of one version of a model.
pub struct ModelMetrics {
    pub ok: Counter,
    pub statistics: Statistics,
    stages: Vec<Histogram>,
    fuel: Histogram,
    peak_memory: Histogram,
    /// Counters of requests that were refused or failed, by their error code.
    failures: Mutex<BTreeMap<&'static str, Counter>>,
    families: Arc<Families>,
    place: Place,
}

impl Families {
    pub(super) fn new(registry: &Registry) -> Result<Families, MetricsError> {
        Ok(Families {
            requests: registry.counters(
                "bulkhead_requests_total",
                "Inference requests by the model, the tenant that owns it, and the outcome: ok, or an error code",
                ["tenant", "model", "outcome"],
            )?,
            stage_seconds: registry.histograms(
                "bulkhead_stage_duration_seconds",
                "Time in a stage",
                ["tenant", "model", "version", "stage"],
                exponential_buckets(5e-6, 2.5, 16)?,
            )?,
            fuel: registry.histograms(
                "bulkhead_call_fuel",
                "Fuel that a call used in all of its stages",
                ["tenant", "model", "version"],
                exponential_buckets(1e4, 4.0, 12)?,
            )?,
            peak_memory: registry.histograms(
                "bulkhead_call_peak_memory_bytes",
                "The most memory that a call held at once",
                ["tenant", "model", "version"],
                exponential_buckets(65_536.0, 2.0, 14)?,
            )?,
            shadows: registry.counters(
                "bulkhead_shadow_requests_total",
                "Requests copied to a shadow, by its version and by how its response compared with the client's: same, different, failed, or skipped because the owner's limits left no room",
                ["tenant", "model", "version", "outcome"],
            )?,
            versions: Mutex::default(),
        })
    }

    /// Counts a refusal of a request that named no model which exists: a client must not be able to create label values.
    pub(super) fn refused(&self, code: &str) {
        self.requests.with(["", "", code]).inc();
    }

    /// The handles of a version, whose series exist as long as one of them.
    pub(super) fn version(self: &Arc<Self>, place: [&str; 3], stages: &[&str]) -> ModelMetrics {
        let mut versions = self.versions();
        let shared = !versions.begin(place, stages);
        let [tenant, model, version] = if shared { [OTHER; 3] } else { place };
        if shared {
            let [tenant, model, version] = place;
            tracing::warn!(
                tenant,
                model,
                version,
                bound = MOST_HISTOGRAMS,
                "too many series: this version is counted as \"other\" in the metrics"
            );
        }
        let stage =
            |stage: &&str| self.stage_seconds.with([tenant, model, version, if shared { OTHER } else { stage }]);
        ModelMetrics {
            ok: self.requests.with([tenant, model, OK]),
            statistics: Statistics::default(),
            stages: stages.iter().map(stage).collect(),
            fuel: self.fuel.with([tenant, model, version]),
            peak_memory: self.peak_memory.with([tenant, model, version]),
            failures: Mutex::default(),
            families: self.clone(),
            place: (tenant.into(), model.into(), version.into()),
        }
    }

    /// Forgets a handle, and removes the series of its version, and of its model, with the last one.
    fn end(&self, place: &Place, codes: impl Iterator<Item = &'static str>) {
        let mut versions = self.versions();
        if versions.known.contains_key(place) {
            versions.codes.entry(model_of(place)).or_default().extend(codes);
        }
        let Some(known) = versions.end(place) else { return };
        let (tenant, model, version) = (&*place.0, &*place.1, &*place.2);
        for stage in &known.stages {
            self.stage_seconds.remove([tenant, model, version, stage]);
        }
        self.fuel.remove([tenant, model, version]);
        self.peak_memory.remove([tenant, model, version]);
        for outcome in SHADOW_OUTCOMES {
            self.shadows.remove([tenant, model, version, outcome]);
        }
        if !versions.has_model(place) {
            for code in versions.codes.remove(&model_of(place)).unwrap_or_default().into_iter().chain([OK]) {
                self.requests.remove([tenant, model, code]);
            }
        }
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Versions {
    /// Adds a handle. False if the version is new, and there is no room for its series.
    fn begin(&mut self, [tenant, model, version]: [&str; 3], stages: &[&str]) -> bool {
        let place: Place = (tenant.into(), model.into(), version.into());
        let before = self.known.get(&place).map_or(0, Known::histograms);
        let of_tenant = self.of_tenants.get(&place.0).copied().unwrap_or_default();
        let more = stages.len() + 2;
        if before == 0 && of_tenant + more + self.histograms + more > MOST_HISTOGRAMS {
            return false;
        }
        let tenant = place.0.clone();
        let known = self.known.entry(place).or_default();
        known.handles += 1;
        known.stages.extend(stages.iter().map(|stage| (*stage).to_owned()));
        let added = known.histograms() - before;
        *self.of_tenants.entry(tenant).or_default() += added;
        self.histograms += added;
        true
    }

    /// Removes a handle; returns what is known of the version if it was the last one.
    fn end(&mut self, place: &Place) -> Option<Known> {
        let known = self.known.get_mut(place)?;
        known.handles -= 1;
        if known.handles > 0 {
            return None;
        }
        let known = self.known.remove(place)?;
        self.histograms -= known.histograms();
        let of_tenant = self.of_tenants.get_mut(&place.0)?;
        *of_tenant -= known.histograms();
        if *of_tenant == 0 {
            self.of_tenants.remove(&place.0);
        }
        Some(known)
    }

    fn has_model(&self, (tenant, model, _): &Place) -> bool {
        let first = (tenant.clone(), model.clone(), Arc::from(""));
        self.known.range(first..).next().is_some_and(|((t, m, _), _)| (t, m) == (tenant, model))
    }
}

impl Known {
    /// One for each stage, and those of fuel and memory.
    fn histograms(&self) -> usize {
        self.stages.len() + 2
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

    /// Counts a request to the model that was refused or failed.
    pub fn refused(&self, code: &'static str) {
        let counter = || self.families.requests.with([&self.place.0, &self.place.1, code]);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_insert_with(counter).inc();
    }

    pub fn shadowed(&self, outcome: ShadowOutcome) {
        let [same, different, failed, skipped] = SHADOW_OUTCOMES;
        let outcome = match outcome {
            ShadowOutcome::Same => same,
            ShadowOutcome::Different => different,
            ShadowOutcome::Failed => failed,
            ShadowOutcome::Skipped => skipped,
        };
        let (tenant, model, version) = &self.place;
        self.families.shadows.with([tenant, model, version, outcome]).inc();
    }
}

fn model_of((tenant, model, _): &Place) -> (Arc<str>, Arc<str>) {
    (tenant.clone(), model.clone())
}

impl Drop for ModelMetrics {
    fn drop(&mut self) {
        let failures = self.failures.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.families.end(&self.place, failures.keys().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    fn shown(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    #[test]
    fn series_are_of_a_tenant_and_go_with_the_version() {
        let metrics = Metrics::new().unwrap();
        let (one, again) = (metrics.model("a", "m", "1", &["s"]), metrics.model("a", "m", "1", &["s", "t"]));
        let (two, other) = (metrics.model("a", "m", "2", &["s"]), metrics.model("b", "m", "1", &["s"]));
        one.refused("limit_time");
        one.shadowed(ShadowOutcome::Same);
        other.ok.inc();
        let text = shown(&metrics);
        for line in [
            "bulkhead_requests_total{model=\"m\",outcome=\"limit_time\",tenant=\"a\"} 1",
            "bulkhead_requests_total{model=\"m\",outcome=\"ok\",tenant=\"a\"} 0",
            "bulkhead_requests_total{model=\"m\",outcome=\"ok\",tenant=\"b\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
        drop(one);
        assert!(shown(&metrics).contains("tenant=\"a\",version=\"1\""), "another handle is there");
        drop(again);
        let text = shown(&metrics);
        assert!(!text.contains("tenant=\"a\",version=\"1\""), "{text}");
        assert!(text.contains("outcome=\"limit_time\",tenant=\"a\""), "the model is still served: {text}");
        drop(two);
        let text = shown(&metrics);
        assert!(!text.contains("tenant=\"a\"") && text.contains("tenant=\"b\""), "{text}");
        drop(other);
        assert!(!shown(&metrics).contains("model=\"m\""));
        assert_eq!(metrics.families.versions().histograms, 0);
    }

    #[test]
    fn versions_beyond_the_bound_share_series_and_leave_some_to_others() {
        let metrics = Metrics::new().unwrap();
        let stages: Vec<String> = (0..98).map(|stage| format!("s{stage}")).collect();
        let stages: Vec<&str> = stages.iter().map(|stage| &**stage).collect();
        let many: Vec<ModelMetrics> =
            (0..51).map(|version| metrics.model("a", "m", &version.to_string(), &stages)).collect();
        many.iter().for_each(|version| version.fuel.observe(1.0));
        let text = shown(&metrics);
        assert!(text.contains("bulkhead_call_fuel_count{model=\"m\",tenant=\"a\",version=\"49\"} 1"));
        assert!(text.contains("bulkhead_call_fuel_count{model=\"_other\",tenant=\"_other\",version=\"_other\"} 1"));
        assert!(!text.contains("version=\"50\""), "the half that it leaves free is for others");
        let other: Vec<ModelMetrics> =
            (0..26).map(|version| metrics.model("b", "m", &version.to_string(), &stages)).collect();
        let text = shown(&metrics);
        assert!(text.contains("tenant=\"b\",version=\"24\"") && !text.contains("tenant=\"b\",version=\"25\""));
        drop((many, other));
        assert!(!shown(&metrics).contains("tenant=\"a\""));
        assert!(metrics.families.versions().of_tenants.is_empty() && metrics.families.versions().codes.is_empty());
    }
}
