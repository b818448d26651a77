//! Activation of one bundle: its graphs are loaded, its plugins are compiled and initialised, and its stages are fitted
//! together into a pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::labels::{self, LabelsError};
use super::loading::Loading;
use super::manifest::StageEntry;
use super::{Bundle, ContentsError};
use crate::pipeline::{BuildError, GraphStage, Pipeline, Stage, StageSource};
use crate::runtime::LoadError;
use crate::sandbox::{ActivationError, Plugin, Sandbox};
use crate::telemetry::Metrics;
use crate::tenant::{Capability, Grants, NotResident, Reservation};
use crate::worker::Workers;

/// The parts of the host that activation uses.
pub struct Activator {
    pub sandbox: Sandbox,
    pub workers: Workers,
    pub metrics: Arc<Metrics>,
}

/// A bundle to activate, with the grants of its publisher and the bundles that it depends on.
pub struct Activation<'a> {
    pub bundle: &'a Bundle,
    /// Capabilities that its publisher was granted. A plugin that asks for another one is refused.
    pub grants: &'a Grants,
    /// Other bundles, from which its stages take plugins.
    pub others: &'a Dependencies,
    /// Called with the name of each part that is done.
    pub report: &'a (dyn Fn(&str) + Sync),
}

/// Bundles that stages take plugins from, by the stage's text in the manifest, each with the capabilities that its
/// publisher was granted.
pub type Dependencies = BTreeMap<String, (Arc<Bundle>, Grants)>;

/// A bundle cannot be served. The texts name the part, and may be shown to clients.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error("the bundle has no [pipeline], and so nothing that clients could call")]
    NoPipeline,
    #[error("plugin \"{plugin}\" asks for \"{import}\", which its publisher is not granted; granted are: {granted}")]
    NotGranted { plugin: String, import: Capability, granted: String },
    #[error("plugin \"{plugin}\": {error}")]
    Plugin { plugin: String, error: ActivationError },
    #[error("graph \"{graph}\": {error}")]
    Graph { graph: String, error: LoadError },
    #[error(transparent)]
    Pipeline(#[from] BuildError),
    #[error(transparent)]
    Contents(#[from] ContentsError),
    #[error("stage \"{stage}\": bundle {bundle} has no plugin of that name; it has: {known}")]
    UnknownForeign { stage: String, bundle: String, known: String },
    #[error(transparent)]
    Labels(#[from] LabelsError),
    #[error(transparent)]
    NotResident(#[from] NotResident),
}

impl Activator {
    /// Activates a bundle. The memory of its parts is counted in `reservation`, which then belongs to the pipeline.
    pub async fn activate(
        &self,
        activation: &Activation<'_>,
        reservation: Reservation,
    ) -> Result<Pipeline, ActivateError> {
        let manifest = &activation.bundle.manifest;
        let pipeline = manifest.pipeline.as_ref().ok_or(ActivateError::NoPipeline)?;
        let model: Arc<str> = manifest.model_name().into();
        let mut loading = Loading::new(self, model.clone(), reservation);
        let graphs = loading.graphs(activation.bundle).await?;
        graphs.keys().for_each(|graph| (activation.report)(&format!("graph {graph}")));
        let mut sources = Vec::with_capacity(pipeline.stages.len());
        for entry in &pipeline.stages {
            let stage: Arc<dyn Stage> = match graphs.get(entry.name()) {
                Some(graph) => Arc::new(GraphStage(graph.clone())),
                None => plugin(&mut loading, entry.name(), activation).await?,
            };
            (activation.report)(&format!("stage {}", entry.name()));
            sources.push(stage_source(entry, stage));
        }
        let version = manifest.bundle.version.to_string().into();
        let mut built = Pipeline::build(model, version, sources, &self.metrics)?;
        let mut reservation = loading.finish();
        built.labels = labels::read(pipeline, activation.bundle, &built.signature, &mut reservation)?;
        built.resident = Some(reservation);
        Ok(built)
    }
}

/// Loads the plugin that a stage names, from the bundle itself or from another one.
async fn plugin<'a>(
    loading: &mut Loading<'a>,
    stage: &str,
    activation: &Activation<'a>,
) -> Result<Arc<Plugin>, ActivateError> {
    let (name, bundle, grants) = match activation.others.get(stage) {
        Some((bundle, grants)) => (foreign_plugin(stage), &**bundle, grants),
        None => (stage, activation.bundle, activation.grants),
    };
    let Some(entry) = bundle.manifest.plugins.iter().find(|plugin| plugin.name == name) else {
        let known = bundle.manifest.plugins.iter().map(|plugin| plugin.name.as_str()).collect::<Vec<_>>().join(", ");
        let bundle = bundle.manifest.bundle.name.clone();
        return Err(ActivateError::UnknownForeign { stage: stage.into(), bundle, known });
    };
    loading.plugin(entry, bundle, grants).await
}

fn foreign_plugin(stage: &str) -> &str {
    let (_, rest) = stage.split_once(':').unwrap_or_default();
    rest.split_once('@').unwrap_or((rest, "")).0
}

fn stage_source(entry: &StageEntry, stage: Arc<dyn Stage>) -> StageSource {
    let (inputs, outputs) = match entry {
        StageEntry::Name(_) => (BTreeMap::new(), BTreeMap::new()),
        StageEntry::Renamed(renamed) => (renamed.inputs.clone(), renamed.outputs.clone()),
    };
    StageSource { name: entry.name().into(), stage, inputs, outputs }
}
