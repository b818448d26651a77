//! Loading of the parts of bundles that make up a pipeline. Each part is loaded once, however many stages name it, and its
//! memory is counted before the next part is loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::error::ActivateError;
use super::manifest::PluginEntry;
use super::{Activator, Bundle};
use crate::runtime::{self, LoadError, Model};
use crate::sandbox::{Initialisation, Plugin, PluginSource};
use crate::tenant::{Capability, Grants, Reservation};

/// Graphs by their names in the bundle.
pub(super) type Graphs = BTreeMap<String, Arc<dyn Model>>;

pub(super) struct Loading<'a> {
    activator: &'a Activator,
    tenant: Arc<str>,
    model: Arc<str>,
    bundles: Vec<Loaded<'a>>,
    /// What the publisher should know of the parts.
    pub(super) warnings: Vec<String>,
    /// The last field, so that it is released after the parts are dropped.
    reservation: Reservation,
}

/// The parts that were loaded from one bundle.
struct Loaded<'a> {
    bundle: &'a Bundle,
    graphs: Option<Graphs>,
    plugins: BTreeMap<&'a str, Arc<Plugin>>,
    /// Files that plugins may read. Plugins share their bytes.
    assets: BTreeMap<&'a str, Bytes>,
}

impl<'a> Loading<'a> {
    pub(super) fn new(
        activator: &'a Activator,
        tenant: Arc<str>,
        model: Arc<str>,
        reservation: Reservation,
    ) -> Loading<'a> {
        Loading { activator, tenant, model, bundles: Vec::new(), warnings: Vec::new(), reservation }
    }

    /// The reservation that counts the memory of all parts.
    pub(super) fn finish(self) -> Reservation {
        self.reservation
    }

    /// Loads all graphs of a bundle.
    pub(super) async fn graphs(&mut self, bundle: &'a Bundle) -> Result<Graphs, ActivateError> {
        let place = self.place(bundle);
        if let Some(graphs) = &self.bundles[place].graphs {
            return Ok(graphs.clone());
        }
        let mut graphs = Graphs::new();
        for entry in &bundle.manifest.graphs {
            let file = bundle.file(&entry.file)?;
            let Activator { workers, runners, .. } = self.activator;
            let (tenant, shapes, reservation) = (&self.tenant, &entry.inputs, &mut self.reservation);
            let graph = runtime::load_untrusted(tenant, &file, shapes, workers, runners.as_ref(), reservation).await;
            let graph = graph.map_err(|error| match error {
                LoadError::NotResident(error) => ActivateError::NotResident(error),
                error => ActivateError::Graph { graph: entry.name.clone(), error },
            })?;
            graphs.insert(entry.name.clone(), graph);
        }
        Ok(self.bundles[place].graphs.insert(graphs).clone())
    }

    /// Loads a plugin of a bundle. If the plugin imports graphs, all graphs of that bundle are loaded with it.
    pub(super) async fn plugin(
        &mut self,
        entry: &'a PluginEntry,
        bundle: &'a Bundle,
        granted: &Grants,
    ) -> Result<Arc<Plugin>, ActivateError> {
        let place = self.place(bundle);
        if let Some(plugin) = self.bundles[place].plugins.get(entry.name.as_str()) {
            return Ok(plugin.clone());
        }
        check_grants(entry, granted)?;
        let grants: Grants = entry.capabilities().collect();
        let graphs = if grants.has(Capability::Graphs) { self.graphs(bundle).await? } else { Graphs::new() };
        let source = PluginSource {
            model: self.model.clone(),
            stage: entry.name.as_str().into(),
            component: bundle.file(&entry.component)?,
            config: json(&entry.config),
            initialisation: if entry.snapshot { Initialisation::Snapshot } else { Initialisation::EveryCall },
            assets: self.assets(place, entry)?,
            graphs,
            grants,
        };
        let failed = |error| ActivateError::Plugin { plugin: entry.name.clone(), error };
        let plugin = Arc::new(self.activator.sandbox.activate(source).await.map_err(failed)?);
        self.reservation.add(plugin.resident_bytes())?;
        if let Some(reason) = plugin.no_snapshot() {
            let warning = format!("plugin {}: init runs again in every call: {reason}", entry.name);
            tracing::warn!(model = %self.model, "{warning}");
            self.warnings.push(warning);
        }
        self.bundles[place].plugins.insert(&entry.name, plugin.clone());
        Ok(plugin)
    }

    fn assets(&mut self, place: usize, entry: &'a PluginEntry) -> Result<BTreeMap<String, Bytes>, ActivateError> {
        let Loaded { bundle, assets, .. } = &mut self.bundles[place];
        for path in &entry.assets {
            if !assets.contains_key(path.as_str()) {
                let content = bundle.file(path)?;
                self.reservation.add(content.len() as u64)?;
                assets.insert(path, content);
            }
        }
        let own = entry.assets.iter().filter_map(|path| Some((path.clone(), assets.get(path.as_str())?.clone())));
        Ok(own.collect())
    }

    /// The index of a bundle in `bundles`. A bundle that lends several plugins is one value, so its address identifies it.
    fn place(&mut self, bundle: &'a Bundle) -> usize {
        let known = self.bundles.iter().position(|loaded| std::ptr::eq(loaded.bundle, bundle));
        known.unwrap_or_else(|| {
            let (graphs, plugins, assets) = (None, BTreeMap::new(), BTreeMap::new());
            self.bundles.push(Loaded { bundle, graphs, plugins, assets });
            self.bundles.len() - 1
        })
    }
}

/// A capability needs both: the bundle asks for it, and the operator who trusted its publisher has granted it.
fn check_grants(entry: &PluginEntry, granted: &Grants) -> Result<(), ActivateError> {
    match entry.capabilities().find(|import| !granted.has(*import)) {
        None => Ok(()),
        Some(import) => {
            let (plugin, granted) = (entry.name.clone(), granted.to_string());
            Err(ActivateError::NotGranted { plugin, import, granted })
        }
    }
}

/// A plugin's configuration as JSON, the form in which its `init` gets it.
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
