//! Catalog of what is served: maps a tenant's model, and its version or label, to a pipeline. Readers take no lock: a
//! change swaps the whole table, and requests in progress finish on the pipeline that they began with.

mod choice;
mod readiness;
mod routing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::pipeline::Pipeline;

pub use routing::{Routing, STABLE, Shadow, Split, Sticky, Traits};

#[derive(Default)]
pub struct Catalog {
    models: ArcSwap<Models>,
    /// True if there was a bundle without a readable manifest, which has no name to be listed under.
    unreadable: AtomicBool,
    /// Versions that were served before the start and are still being loaded for the first time.
    starting: ArcSwap<BTreeSet<Place>>,
    /// True while a compute thread does not come back from a call.
    stuck: AtomicBool,
    /// True from the moment at which the host was asked to end.
    ending: AtomicBool,
    /// Told of each change of the table.
    changes: watch::Sender<()>,
}

/// Models by name, then by the tenant that owns them: two tenants may give different models the same name.
type Models = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Model>>;

/// All versions of a tenant's model.
#[derive(Clone, Default)]
struct Model {
    versions: Versions,
    /// Versions that are in service and must not be served, because they are not trusted, each with the reason. They are in
    /// the catalog so that a request to them is refused with it.
    withheld: BTreeMap<Version, Arc<str>>,
    routing: Arc<Routing>,
    sharing: Arc<Sharing>,
}

type Versions = BTreeMap<Version, Entry>;

/// Owner, model and version.
type Place = (Arc<str>, Arc<str>, Version);

/// Tenants that may call a model besides its owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    #[default]
    Nobody,
    Tenants(BTreeSet<String>),
    Everybody,
}

/// State of a version of a model.
#[derive(Clone)]
pub enum Entry {
    Ready(Arc<Pipeline>),
    /// Being activated, at a start of the host or after an operator's act.
    Loading,
    /// The reason why it could not be activated. Clients can read it.
    Failed(Arc<str>),
}

/// The pipeline for a request, and its shadow.
pub struct Found {
    pub pipeline: Arc<Pipeline>,
    /// `None` if this request is not copied.
    pub shadow: Option<ShadowTarget>,
}

/// The version that gets a copy of a request.
#[derive(Clone)]
pub struct ShadowTarget {
    pub pipeline: Arc<Pipeline>,
    /// The tenant that owns the model and set the shadow, which pays for it.
    pub owner: Arc<str>,
}

/// No pipeline can answer the request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LookupError {
    #[error("there is no model \"{model}\"")]
    UnknownModel { model: String },
    #[error("model \"{model}\" has no version or label \"{version}\"; it has: {known}")]
    UnknownVersion { model: Arc<str>, version: String, known: String },
    #[error(
        "model \"{model}\" has pre-releases only, which serve only requests that name one: {known}; name one of them, or its owner labels one of them \"{STABLE}\""
    )]
    OnlyPreReleases { model: Arc<str>, known: String },
    #[error(
        "model \"{model}\": {route} names {versions}, which is not served any more{reasons}, and requests go to no other version instead; its owner has to change {route}. It has: {known}"
    )]
    RouteGone { model: Arc<str>, route: String, versions: String, reasons: String, known: String },
    #[error("model \"{model}\" version {version} is not served any more: {reason}")]
    Withheld { model: Arc<str>, version: String, reason: Arc<str> },
    #[error("model \"{model}\" version {version} is being loaded; try again in a moment")]
    Loading { model: Arc<str>, version: String },
    #[error("model \"{model}\" version {version} could not be activated: {reason}")]
    NotActive { model: Arc<str>, version: String, reason: Arc<str> },
}

/// The version of the model is in the catalog already.
#[derive(Debug, thiserror::Error)]
#[error("model \"{model}\" version {version} already exists; give one of the two another name or version")]
pub struct DuplicateVersion {
    pub model: Arc<str>,
    pub version: Version,
}

/// A version of a model, as an entry of a list.
pub struct Listed {
    pub model: Arc<str>,
    pub version: Version,
    pub entry: Entry,
}

impl Catalog {
    /// Adds a version, or replaces its earlier entry.
    pub fn set(&self, owner: &str, model: &str, version: &Version, entry: Entry) {
        self.change(owner, model, |model| {
            model.withheld.remove(version);
            model.versions.insert(version.clone(), entry.clone());
        });
    }

    /// Adds a version like [`Catalog::set`], and fails if the catalog has it already.
    pub fn add(&self, owner: &str, model: &str, version: &Version, entry: Entry) -> Result<(), DuplicateVersion> {
        let models = self.models.load();
        if models.get(model).and_then(|owners| owners.get(owner)).is_some_and(|m| m.versions.contains_key(version)) {
            return Err(DuplicateVersion { model: model.into(), version: version.clone() });
        }
        self.set(owner, model, version, entry);
        Ok(())
    }

    /// Removes a version. No further request begins on it; requests in progress finish. False if it is not there.
    pub fn remove(&self, owner: &str, model: &str, version: &Version) -> bool {
        let knows = |model: &Model| model.versions.contains_key(version) || model.withheld.contains_key(version);
        let known = self.any(owner, model, knows);
        if known {
            self.change(owner, model, |model| {
                model.withheld.remove(version);
                model.versions.remove(version);
            });
        }
        known
    }

    /// Removes a version, and refuses requests to it with this reason from now on. False if it is withheld for this reason
    /// already.
    pub fn withhold(&self, owner: &str, model: &str, version: &Version, reason: &str) -> bool {
        let same = |model: &Model| model.withheld.get(version).is_some_and(|known| **known == *reason);
        if self.any(owner, model, same) {
            return false;
        }
        self.change(owner, model, |model| {
            model.versions.remove(version);
            model.withheld.insert(version.clone(), reason.into());
        });
        true
    }

    /// True if an owner's model exists and fulfils a condition.
    fn any(&self, owner: &str, model: &str, condition: impl Fn(&Model) -> bool) -> bool {
        self.models.load().get(model).and_then(|owners| owners.get(owner)).is_some_and(condition)
    }

    pub fn route(&self, owner: &str, model: &str, routing: &Arc<Routing>, sharing: &Arc<Sharing>) {
        let models = self.models.load();
        let Some(present) = models.get(model).and_then(|owners| owners.get(owner)) else { return };
        if present.routing == *routing && present.sharing == *sharing {
            return;
        }
        self.change(owner, model, |model| {
            model.routing.clone_from(routing);
            model.sharing.clone_from(sharing);
        });
    }

    fn change(&self, owner: &str, name: &str, change: impl Fn(&mut Model)) {
        self.models.rcu(|models| {
            let mut models = Models::clone(models);
            let owners = models.entry(name.into()).or_default();
            let model = owners.entry(owner.into()).or_default();
            change(model);
            if model.versions.is_empty() && model.withheld.is_empty() {
                owners.remove(owner);
            }
            if owners.is_empty() {
                models.remove(name);
            }
            models
        });
        self.changes.send_replace(());
    }

    /// Finds the pipeline for a tenant's request to a model. The request may name a version or a label; the routing decides
    /// if it names neither.
    pub fn find(&self, model: &str, version: Option<&str>, traits: &Traits) -> Result<Found, LookupError> {
        let models = self.models.load();
        let Visible { name, owner, model } = visible(&models, model, traits.tenant)?;
        let (version, entry) = match version {
            Some(version) => model.named(name, version)?,
            None => model.routed(name, traits)?,
        };
        let shadow = model.routing.shadow.as_ref().filter(|shadow| shadow.version != *version && shadow.wants());
        let shadow = shadow.and_then(|shadow| model.versions.get(&shadow.version)).and_then(Entry::ready);
        let shadow = shadow.map(|pipeline| ShadowTarget { pipeline: pipeline.clone(), owner: owner.clone() });
        Ok(Found { pipeline: entry.to_ready(name, version)?, shadow })
    }

    /// Versions of a model that are ready, oldest first; empty if the tenant may not call the model.
    pub fn ready_versions(&self, model: &str, tenant: &str) -> Vec<String> {
        let models = self.models.load();
        let Ok(visible) = visible(&models, model, tenant) else { return Vec::new() };
        let ready = visible.model.versions.iter().filter(|(_, entry)| entry.ready().is_some());
        ready.map(|(version, _)| version.to_string()).collect()
    }

    /// Every version of every model that a tenant may call.
    pub fn list(&self, tenant: &str) -> Vec<Listed> {
        let models = self.models.load();
        let visible = models.keys().filter_map(|name| visible(&models, name, tenant).ok());
        let list = |Visible { name, model, .. }: Visible| {
            let entry = |(version, entry): (&Version, &Entry)| Listed {
                model: name.clone(),
                version: version.clone(),
                entry: entry.clone(),
            };
            model.versions.iter().map(entry).collect::<Vec<_>>()
        };
        visible.flat_map(list).collect()
    }

    /// The entry of an owner's version, in any state.
    pub fn entry(&self, owner: &str, model: &str, version: &Version) -> Option<Entry> {
        self.models.load().get(model)?.get(owner)?.versions.get(version).cloned()
    }

    /// The version for an owner's requests that name none, if no split decides.
    pub fn served(&self, owner: &str, model: &str) -> Option<Version> {
        let models = self.models.load();
        let (name, owners) = models.get_key_value(model)?;
        owners.get(owner)?.unsplit(name).ok().map(|(version, _)| version.clone())
    }

    /// The error that an owner's requests get that name no version; none if there is a version for them. It may be one that is
    /// still being loaded, or has failed.
    pub fn refusal(&self, owner: &str, model: &str) -> Option<LookupError> {
        let models = self.models.load();
        let found = models.get_key_value(model).and_then(|(name, owners)| Some((name, owners.get(owner)?)));
        let Some((name, model)) = found else { return Some(LookupError::UnknownModel { model: model.to_owned() }) };
        model.routed(name, &Traits { tenant: owner, header: &|_| None }).err()
    }
}

impl Entry {
    pub fn ready(&self) -> Option<&Arc<Pipeline>> {
        if let Entry::Ready(pipeline) = self { Some(pipeline) } else { None }
    }

    fn to_ready(&self, model: &Arc<str>, version: &Version) -> Result<Arc<Pipeline>, LookupError> {
        let (model, version) = (model.clone(), version.to_string());
        match self {
            Entry::Ready(pipeline) => Ok(pipeline.clone()),
            Entry::Loading => Err(LookupError::Loading { model, version }),
            Entry::Failed(reason) => Err(LookupError::NotActive { model, version, reason: reason.clone() }),
        }
    }
}

impl Sharing {
    fn includes(&self, tenant: &str) -> bool {
        match self {
            Sharing::Nobody => false,
            Sharing::Tenants(tenants) => tenants.contains(tenant),
            Sharing::Everybody => true,
        }
    }
}

/// A model that a tenant may call.
struct Visible<'a> {
    name: &'a Arc<str>,
    owner: &'a Arc<str>,
    model: &'a Model,
}

/// A tenant's own model, or else one that another tenant shares with it. A model that the tenant may not call is reported
/// as unknown, like one that does not exist.
fn visible<'a>(models: &'a Models, model: &str, tenant: &str) -> Result<Visible<'a>, LookupError> {
    let found = models.get_key_value(model).and_then(|(name, owners)| {
        let shared = || owners.iter().find(|(_, model)| model.sharing.includes(tenant));
        let (owner, model) = owners.get_key_value(tenant).or_else(shared)?;
        Some(Visible { name, owner, model })
    });
    found.ok_or_else(|| LookupError::UnknownModel { model: model.to_owned() })
}
