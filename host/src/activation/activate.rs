//! Activation of one bundle: its graphs are loaded, its plugins are compiled and initialised, and its stages are fitted
//! together into a pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ActivateError;
use super::labels;
use super::loading::Loading;
use super::manifest::StageEntry;
use super::{Activator, Bundle};
use crate::pipeline::{GraphStage, Pipeline, Stage, StageSource};
use crate::sandbox::Plugin;
use crate::tenant::{Grants, Reservation};

/// A bundle to activate, with the grants of its publisher and the bundles that it depends on.
pub struct Activation<'a> {
    /// The tenant that the bundle belongs to.
    pub tenant: &'a Arc<str>,
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
        let mut loading = Loading::new(self, activation.tenant.clone(), model.clone(), reservation);
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
        let mut built = Pipeline::build(activation.tenant, model, version, sources, &self.metrics)?;
        built.warnings = std::mem::take(&mut loading.warnings);
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
