//! Makes a bundle live: load its graphs, compile and initialise its plugins, fit the stages together.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Bundle;
use super::manifest::{PluginEntry, StageEntry};
use crate::config::CallLimits;
use crate::graph::{Graph, LoadError};
use crate::pipeline::{BuildError, Pipeline, Runner, StageSource};
use crate::sandbox::{ActivationError, Initialisation, Plugin, PluginSource, Sandbox};
use crate::telemetry::Metrics;
use crate::tenant::{Capability, Grants};
use crate::worker::Workers;

/// What activation needs of the host.
pub struct Activator {
    pub sandbox: Sandbox,
    pub workers: Workers,
    pub metrics: Arc<Metrics>,
    pub call: CallLimits,
}

/// A bundle cannot be served. The texts name the part, and are fit for clients to read.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error("the bundle has no [pipeline], and so nothing that clients could call")]
    NoPipeline,
    #[error("plugin \"{plugin}\": {error}")]
    Plugin { plugin: String, error: ActivationError },
    #[error("graph \"{graph}\": {error}")]
    Graph { graph: String, error: LoadError },
    #[error(transparent)]
    Pipeline(#[from] BuildError),
    #[error("bundle.toml: the file {0} is named and not there")]
    MissingFile(String),
}

impl Activator {
    pub async fn activate(&self, bundle: &Bundle) -> Result<Pipeline, ActivateError> {
        let manifest = &bundle.manifest;
        let pipeline = manifest.pipeline.as_ref().ok_or(ActivateError::NoPipeline)?;
        let model: Arc<str> = manifest.model_name().into();
        let graphs = load_graphs(bundle, &self.workers).await?;
        let mut sources = Vec::with_capacity(pipeline.stages.len());
        for entry in &pipeline.stages {
            let runner = self.runner(&model, entry.name(), bundle, &graphs).await?;
            sources.push(stage_source(entry, runner));
        }
        let version = manifest.bundle.version.to_string().into();
        Ok(Pipeline::build(model, version, sources, &self.call, &self.metrics)?)
    }

    async fn runner(
        &self,
        model: &Arc<str>,
        name: &str,
        bundle: &Bundle,
        graphs: &BTreeMap<String, Arc<Graph>>,
    ) -> Result<Runner, ActivateError> {
        if let Some(graph) = graphs.get(name) {
            return Ok(Runner::Graph(graph.clone()));
        }
        // The manifest was checked: a stage that is no graph is a plugin.
        let entry = bundle.manifest.plugins.iter().find(|plugin| plugin.name == name);
        let entry = entry.ok_or_else(|| ActivateError::MissingFile(name.into()))?;
        self.plugin(model, entry, bundle, graphs).await.map(Runner::Plugin)
    }

    async fn plugin(
        &self,
        model: &Arc<str>,
        entry: &PluginEntry,
        bundle: &Bundle,
        graphs: &BTreeMap<String, Arc<Graph>>,
    ) -> Result<Plugin, ActivateError> {
        let failed = |error| ActivateError::Plugin { plugin: entry.name.clone(), error };
        // Who serves a folder of bundles grants what they ask for.
        let grants: Grants = entry.capabilities().collect();
        let mut assets = BTreeMap::new();
        for asset in &entry.assets {
            assets.insert(asset.clone(), file(bundle, asset)?);
        }
        let source = PluginSource {
            model: model.clone(),
            stage: entry.name.as_str().into(),
            component: file(bundle, &entry.component)?,
            config: json(&entry.config),
            initialisation: if entry.snapshot { Initialisation::Snapshot } else { Initialisation::EveryCall },
            graphs: if grants.has(Capability::Graphs) { graphs.clone() } else { BTreeMap::new() },
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

async fn load_graphs(bundle: &Bundle, workers: &Workers) -> Result<BTreeMap<String, Arc<Graph>>, ActivateError> {
    let mut graphs = BTreeMap::new();
    for entry in &bundle.manifest.graphs {
        let failed = |error| ActivateError::Graph { graph: entry.name.clone(), error };
        let graph = Graph::load_untrusted(&file(bundle, &entry.file)?, &entry.inputs, workers).await;
        graphs.insert(entry.name.clone(), Arc::new(graph.map_err(failed)?));
    }
    Ok(graphs)
}

fn file(bundle: &Bundle, name: &str) -> Result<Bytes, ActivateError> {
    bundle.files.get(name).cloned().ok_or_else(|| ActivateError::MissingFile(name.into()))
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
