//! What is live: from a model's name and version to its pipeline. Readers take no lock; a change swaps the whole table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use semver::Version;

use crate::pipeline::Pipeline;

#[derive(Default)]
pub struct Catalog {
    models: ArcSwap<Models>,
    /// Something should be served whose name nobody could read.
    unreadable: AtomicBool,
}

type Models = BTreeMap<Arc<str>, BTreeMap<Version, Entry>>;

/// A version of a model, as far as it came.
#[derive(Clone)]
enum Entry {
    Ready(Arc<Pipeline>),
    /// Why it could not be activated. Clients get to read it.
    Failed(Arc<str>),
}

/// A version of a model, as those who ask for all of them see it.
pub struct Listed {
    pub model: Arc<str>,
    pub version: String,
    /// Or why it could not be activated.
    pub pipeline: Result<Arc<Pipeline>, Arc<str>>,
}

/// There is nothing that could answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotServed {
    #[error("there is no model \"{model}\"")]
    UnknownModel { model: String },
    #[error("model \"{model}\" has no version \"{version}\"; it has: {known}")]
    UnknownVersion { model: Arc<str>, version: String, known: String },
    #[error("model \"{model}\" version {version} could not be activated: {reason}")]
    NotActive { model: Arc<str>, version: String, reason: Arc<str> },
}

/// The same version of a model cannot be there twice.
#[derive(Debug, thiserror::Error)]
#[error("model \"{model}\" version {version} is there already; give one of the two another name or version")]
pub struct AlreadyThere {
    pub model: Arc<str>,
    pub version: Version,
}

impl Catalog {
    pub fn add_ready(&self, version: Version, pipeline: Pipeline) -> Result<(), AlreadyThere> {
        let model = pipeline.model.clone();
        self.add(model, version, Entry::Ready(Arc::new(pipeline)))
    }

    pub fn add_failed(&self, model: Arc<str>, version: Version, reason: String) -> Result<(), AlreadyThere> {
        self.add(model, version, Entry::Failed(reason.into()))
    }

    fn add(&self, model: Arc<str>, version: Version, entry: Entry) -> Result<(), AlreadyThere> {
        if self.models.load().get(&model).is_some_and(|versions| versions.contains_key(&version)) {
            return Err(AlreadyThere { model, version });
        }
        self.models.rcu(|models| {
            let mut models = Models::clone(models);
            models.entry(model.clone()).or_default().insert(version.clone(), entry.clone());
            models
        });
        Ok(())
    }

    /// A version, or the newest one that is ready.
    pub fn find(&self, model: &str, version: Option<&str>) -> Result<Arc<Pipeline>, NotServed> {
        let models = self.models.load();
        let unknown = || NotServed::UnknownModel { model: model.to_owned() };
        let (name, versions) = models.get_key_value(model).ok_or_else(unknown)?;
        let (version, entry) = match version {
            Some(version) => find_version(name, versions, version)?,
            None => newest(versions).ok_or_else(unknown)?,
        };
        match entry {
            Entry::Ready(pipeline) => Ok(pipeline.clone()),
            Entry::Failed(reason) => {
                Err(NotServed::NotActive { model: name.clone(), version: version.to_string(), reason: reason.clone() })
            }
        }
    }

    /// The versions of a model that are ready, oldest first.
    pub fn ready_versions(&self, model: &str) -> Vec<String> {
        let models = self.models.load();
        let versions = models.get(model).into_iter().flatten();
        versions.filter(|(_, entry)| entry.is_ready()).map(|(version, _)| version.to_string()).collect()
    }

    /// Every version of every model, by name and then oldest first.
    pub fn all(&self) -> Vec<Listed> {
        let models = self.models.load();
        let listed = |(model, versions): (&Arc<str>, &Versions)| {
            let listed = |(version, entry): (&Version, &Entry)| Listed {
                model: model.clone(),
                version: version.to_string(),
                pipeline: match entry {
                    Entry::Ready(pipeline) => Ok(pipeline.clone()),
                    Entry::Failed(reason) => Err(reason.clone()),
                },
            };
            versions.iter().map(listed).collect::<Vec<_>>()
        };
        models.iter().flat_map(listed).collect()
    }

    /// There was a bundle without a readable manifest.
    pub fn note_unreadable(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// Whether everything that should be served is.
    pub fn all_ready(&self) -> bool {
        !self.unreadable.load(Ordering::Relaxed)
            && self.models.load().values().flat_map(BTreeMap::values).all(Entry::is_ready)
    }
}

impl Entry {
    fn is_ready(&self) -> bool {
        matches!(self, Entry::Ready(_))
    }
}

type Versions = BTreeMap<Version, Entry>;

fn find_version<'a>(
    model: &Arc<str>,
    versions: &'a Versions,
    version: &str,
) -> Result<(&'a Version, &'a Entry), NotServed> {
    let parsed = Version::parse(version).ok();
    let exact = parsed.and_then(|parsed| versions.get_key_value(&parsed));
    exact.or_else(|| newest_of(versions, version.parse().ok()?)).ok_or_else(|| NotServed::UnknownVersion {
        model: model.clone(),
        version: version.to_owned(),
        known: versions.keys().map(Version::to_string).collect::<Vec<_>>().join(", "),
    })
}

/// A whole number alone stands for the newest version that begins with it.
fn newest_of(versions: &Versions, major: u64) -> Option<(&Version, &Entry)> {
    let mut of_major = versions.iter().rev().filter(|(version, _)| version.major == major);
    of_major.clone().find(|(_, entry)| entry.is_ready()).or_else(|| of_major.next())
}

fn newest(versions: &Versions) -> Option<(&Version, &Entry)> {
    versions.iter().rev().find(|(_, entry)| entry.is_ready()).or_else(|| versions.iter().next_back())
}
