//! Makes a bundle live: load its graphs, compile and initialise its plugins, fit the stages together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::manifest::{PipelineEntry, PluginEntry, StageEntry};
use super::{Bundle, ContentsError};
use crate::graph::{Graph, LoadError};
use crate::pipeline::{BuildError, Labels, Pipeline, Runner, StageSource};
use crate::sandbox::{ActivationError, Initialisation, Plugin, PluginSource, Sandbox};
use crate::telemetry::Metrics;
use crate::tenant::{Capability, Grants};
use crate::tensor::{self, Signature};
use crate::worker::Workers;

/// What activation needs of the host.
pub struct Activator {
    pub sandbox: Sandbox,
    pub workers: Workers,
    pub metrics: Arc<Metrics>,
}

/// What is activated, and for whom.
pub struct Activation<'a> {
    pub bundle: &'a Bundle,
    /// What its publisher may be granted: what a plugin asks for beyond it is refused.
    pub grants: &'a Grants,
    /// The bundles that its stages take plugins from.
    pub others: &'a Others,
    /// Told of each part that is done.
    pub report: &'a (dyn Fn(&str) + Sync),
}

/// Bundles of other stages, by the stage's text in the manifest, with what their publishers may be granted.
pub type Others = BTreeMap<String, (Arc<Bundle>, Grants)>;

/// A bundle cannot be served. The texts name the part, and are fit for clients to read.
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
    #[error("labels: there is no output \"{output}\"; the pipeline gives: {known}")]
    LabelsOfNothing { output: String, known: String },
    #[error("labels: {file} is not UTF-8")]
    LabelsNotText { file: String },
}

impl Activator {
    pub async fn activate(&self, activation: &Activation<'_>) -> Result<Pipeline, ActivateError> {
        let manifest = &activation.bundle.manifest;
        let pipeline = manifest.pipeline.as_ref().ok_or(ActivateError::NoPipeline)?;
        let model: Arc<str> = manifest.model_name().into();
        let graphs = self.load_graphs(activation.bundle).await?;
        graphs.keys().for_each(|graph| (activation.report)(&format!("graph {graph}")));
        let mut sources = Vec::with_capacity(pipeline.stages.len());
        for entry in &pipeline.stages {
            let runner = self.runner(&model, entry.name(), activation, &graphs).await?;
            (activation.report)(&format!("stage {}", entry.name()));
            sources.push(stage_source(entry, runner));
        }
        let version = manifest.bundle.version.to_string().into();
        let mut built = Pipeline::build(model, version, sources, &self.metrics)?;
        built.labels = labels(pipeline, activation.bundle, &built.signature)?;
        Ok(built)
    }

    async fn runner(
        &self,
        model: &Arc<str>,
        stage: &str,
        activation: &Activation<'_>,
        graphs: &BTreeMap<String, Arc<Graph>>,
    ) -> Result<Runner, ActivateError> {
        if let Some(graph) = graphs.get(stage) {
            return Ok(Runner::Graph(graph.clone()));
        }
        let (name, bundle, grants) = match activation.others.get(stage) {
            Some((bundle, grants)) => (foreign_plugin(stage), &**bundle, grants),
            None => (stage, activation.bundle, activation.grants),
        };
        let Some(entry) = bundle.manifest.plugins.iter().find(|plugin| plugin.name == name) else {
            let known =
                bundle.manifest.plugins.iter().map(|plugin| plugin.name.as_str()).collect::<Vec<_>>().join(", ");
            let bundle = bundle.manifest.bundle.name.clone();
            return Err(ActivateError::UnknownForeign { stage: stage.into(), bundle, known });
        };
        // A plugin of another bundle brings its own graphs.
        let own = match std::ptr::eq(bundle, activation.bundle) {
            true => graphs.clone(),
            false => self.load_graphs(bundle).await?,
        };
        self.plugin(model, entry, bundle, grants, own).await.map(Runner::Plugin)
    }

    async fn load_graphs(&self, bundle: &Bundle) -> Result<BTreeMap<String, Arc<Graph>>, ActivateError> {
        let mut graphs = BTreeMap::new();
        for entry in &bundle.manifest.graphs {
            let failed = |error| ActivateError::Graph { graph: entry.name.clone(), error };
            let graph = Graph::load_untrusted(&bundle.file(&entry.file)?, &entry.inputs, &self.workers).await;
            graphs.insert(entry.name.clone(), Arc::new(graph.map_err(failed)?));
        }
        Ok(graphs)
    }

    async fn plugin(
        &self,
        model: &Arc<str>,
        entry: &PluginEntry,
        bundle: &Bundle,
        granted: &Grants,
        graphs: BTreeMap<String, Arc<Graph>>,
    ) -> Result<Plugin, ActivateError> {
        let failed = |error| ActivateError::Plugin { plugin: entry.name.clone(), error };
        check_grants(entry, granted)?;
        let grants: Grants = entry.capabilities().collect();
        let mut assets = BTreeMap::new();
        for asset in &entry.assets {
            assets.insert(asset.clone(), bundle.file(asset)?);
        }
        let source = PluginSource {
            model: model.clone(),
            stage: entry.name.as_str().into(),
            component: bundle.file(&entry.component)?,
            config: json(&entry.config),
            initialisation: if entry.snapshot { Initialisation::Snapshot } else { Initialisation::EveryCall },
            graphs: if grants.has(Capability::Graphs) { graphs } else { BTreeMap::new() },
            assets,
            grants,
        };
        let plugin = self.sandbox.activate(source).await.map_err(failed)?;
        if entry.snapshot && plugin.initialisation() == Initialisation::EveryCall {
            tracing::warn!(%model, stage = entry.name, "init runs again in every call: the component cannot be snapshotted, or its init printed something and so holds a stream (log with the logging import instead)");
        }
        Ok(plugin)
    }
}

/// Two keys: the bundle asks, and whoever trusted its publisher has granted.
fn check_grants(entry: &PluginEntry, granted: &Grants) -> Result<(), ActivateError> {
    match entry.capabilities().find(|import| !granted.has(*import)) {
        None => Ok(()),
        Some(import) => {
            let (plugin, granted) = (entry.name.clone(), granted.to_string());
            Err(ActivateError::NotGranted { plugin, import, granted })
        }
    }
}

/// What the classes of outputs are called, by output.
fn labels(
    entry: &PipelineEntry,
    bundle: &Bundle,
    signature: &Signature,
) -> Result<BTreeMap<String, Labels>, ActivateError> {
    let read = |(output, file): (&String, &String)| {
        if !signature.outputs.iter().any(|spec| *spec.name == **output) {
            let known = tensor::names(&signature.outputs);
            return Err(ActivateError::LabelsOfNothing { output: output.clone(), known });
        }
        let text = bundle.file(file)?;
        let text = std::str::from_utf8(&text).map_err(|_| ActivateError::LabelsNotText { file: file.clone() })?;
        let classes = text.lines().map(str::to_owned).collect();
        Ok((output.clone(), Labels { file: file.clone(), classes }))
    };
    entry.labels.iter().map(read).collect()
}

fn foreign_plugin(stage: &str) -> &str {
    let (_, rest) = stage.split_once(':').unwrap_or_default();
    rest.split_once('@').unwrap_or((rest, "")).0
}

fn stage_source(entry: &StageEntry, runner: Runner) -> StageSource {
    let (inputs, outputs) = match entry {
        StageEntry::Name(_) => (BTreeMap::new(), BTreeMap::new()),
        StageEntry::Renamed(renamed) => (renamed.inputs.clone(), renamed.outputs.clone()),
    };
    StageSource { name: entry.name().into(), runner, inputs, outputs }
}

/// A plugin's configuration, as its `init` gets it.
fn json(table: &toml::Table) -> serde_json::Value {
    fn to_json(value: &toml::Value) -> serde_json::Value {
        match value {
            toml::Value::String(text) => text.as_str().into(),
            toml::Value::Integer(number) => (*number).into(),
            toml::Value::Float(number) => (*number).into(),
            toml::Value::Boolean(truth) => (*truth).into(),
            toml::Value::Datetime(time) => time.to_string().into(),
            toml::Value::Array(items) => items.iter().map(to_json).collect(),
            toml::Value::Table(table) => json(table),
        }
    }
    serde_json::Value::Object(table.iter().map(|(key, item)| (key.clone(), to_json(item))).collect())
}
