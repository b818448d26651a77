//! All documents, in memory. A change is written to the store first, and visible here only afterwards.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_bundle::Digest;
use bulkhead_store::{ChangedDocument, Corrupt, Document, Loaded, RenamedUsage, Write};
use semver::Version;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::records::{BundleState, KeyRecord, ModelSettings, Publisher, Revocation, StoredBundle, TenantRecord};
use crate::catalog::{Routing, Sharing};

/// A kind of document.
pub(super) trait Record: Serialize + DeserializeOwned + Clone {
    const KIND: &'static str;
    fn table(state: &mut ControlState) -> &mut BTreeMap<String, Self>;
}

#[derive(Clone, Debug, Default)]
pub(super) struct ControlState {
    pub publishers: BTreeMap<String, Publisher>,
    pub bundles: BTreeMap<String, StoredBundle>,
    pub revoked: BTreeMap<String, Revocation>,
    pub models: BTreeMap<String, ModelSettings>,
    pub tenants: BTreeMap<String, TenantRecord>,
    pub keys: BTreeMap<String, KeyRecord>,
}

macro_rules! records {
    ($($document:ty, $kind:literal, $table:ident;)*) => { $(
        impl Record for $document {
            const KIND: &'static str = $kind;
            fn table(state: &mut ControlState) -> &mut BTreeMap<String, Self> {
                &mut state.$table
            }
        }
    )* };
}

records! {
    Publisher, "publisher", publishers;
    StoredBundle, "bundle", bundles;
    Revocation, "revoked", revoked;
    ModelSettings, "model", models;
    TenantRecord, "tenant", tenants;
    KeyRecord, "key", keys;
}

type Step = Box<dyn FnOnce(&mut ControlState) + Send>;

/// The changes of one act: the writes to the store, and the steps that bring the state in memory up to date.
#[derive(Default)]
pub(super) struct Change {
    writes: Vec<Write>,
    steps: Vec<Step>,
    pub before: Value,
    pub after: Value,
    /// True if the act takes rights away, so that it must be possible on a full disk.
    pub revokes: bool,
    /// Usage that gets another name together with the change.
    pub renamed_usage: Option<RenamedUsage>,
}

impl Change {
    pub(super) fn put<T: Record + Send + 'static>(&mut self, key: &str, document: T) {
        let value = Some(to_value(&document));
        self.writes.push(Write { kind: T::KIND, key: key.to_owned(), value });
        let key = key.to_owned();
        self.steps.push(Box::new(move |state| drop(T::table(state).insert(key, document))));
    }

    pub(super) fn remove<T: Record>(&mut self, key: &str) {
        self.writes.push(Write { kind: T::KIND, key: key.to_owned(), value: None });
        let key = key.to_owned();
        self.steps.push(Box::new(move |state| drop(T::table(state).remove(&key))));
    }

    /// Adds a step that runs once the change is durable.
    pub(super) fn then(&mut self, step: impl FnOnce(&mut ControlState) + Send + 'static) {
        self.steps.push(Box::new(step));
    }

    /// Removes the labels, the split and the shadow that send requests to a version that is gone.
    pub(super) fn forget_routes(&mut self, state: &ControlState, tenant: &str, model: &str, version: &Version) {
        let key = model_key(tenant, model);
        let Some(settings) = state.models.get(&key).cloned() else { return };
        let routing = settings.routing.without(version);
        self.put(&key, ModelSettings { routing, ..settings });
    }

    /// Sets what the audit log records of a version that gets another state: the states, and the routes to the version that
    /// go with it.
    pub(super) fn audit_version(&mut self, state: &ControlState, bundle: &StoredBundle, now: BundleState) {
        let model = bundle.model.as_deref().unwrap_or_default();
        let before = state.models.get(&model_key(&bundle.tenant, model)).map(|settings| settings.routing.clone());
        let before = before.unwrap_or_default();
        let after = match now {
            BundleState::Active => before.clone(),
            BundleState::Retired | BundleState::Deleted => before.clone().without(&bundle.version),
        };
        let record = |state: BundleState, routing: Routing| json!({ "state": state, "routing": routing });
        (self.before, self.after) = (record(bundle.state, before), record(now, after));
    }

    /// Removes all that the settings say of a version that is being deleted. With the model's last version they are removed
    /// as a whole, so that they do not hold for a later bundle of the model's name.
    pub(super) fn forget_version(&mut self, state: &ControlState, tenant: &str, model: &str, version: &Version) {
        match state.kept_versions(tenant, model).any(|kept| kept != version) {
            true => self.forget_routes(state, tenant, model, version),
            false => self.forget_settings(state, tenant, model),
        }
    }

    /// Removes the settings of a model.
    pub(super) fn forget_settings(&mut self, state: &ControlState, tenant: &str, model: &str) {
        let key = model_key(tenant, model);
        if state.models.contains_key(&key) {
            self.remove::<ModelSettings>(&key);
        }
    }

    /// Takes a tenant's name out of the sharings of the others' models, so that a later tenant of the name cannot call them.
    pub(super) fn forget_sharings(&mut self, state: &ControlState, tenant: &str) {
        let own = model_key(tenant, "");
        for (key, settings) in state.models.iter().filter(|(key, _)| !key.starts_with(&own)) {
            let Sharing::Tenants(names) = &settings.sharing else { continue };
            if names.contains(tenant) {
                let names: BTreeSet<String> = names.iter().filter(|name| *name != tenant).cloned().collect();
                let sharing = if names.is_empty() { Sharing::Nobody } else { Sharing::Tenants(names) };
                self.put(key, ModelSettings { sharing, ..settings.clone() });
            }
        }
    }

    /// Sets the values that the audit log records as before and after the change.
    pub(super) fn audit(&mut self, before: &impl Serialize, after: &impl Serialize) {
        (self.before, self.after) = (to_value(before), to_value(after));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(super) fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    pub(super) fn apply(self, state: &mut ControlState) {
        self.steps.into_iter().for_each(|step| step(state));
    }
}

/// Documents are plain data, so they can always be written as JSON.
fn to_value(document: &impl Serialize) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// The key of a version of a bundle.
pub(super) fn bundle_key(tenant: &str, name: &str, version: &Version) -> String {
    format!("{tenant} {name} {version}")
}

/// The key of a model's settings.
pub(super) fn model_key(tenant: &str, model: &str) -> String {
    format!("{tenant} {model}")
}

impl ControlState {
    /// Reads the stored documents. Documents that cannot be read are returned by name, and all others are loaded.
    pub(super) fn load(loaded: Loaded) -> (ControlState, Vec<Corrupt>) {
        let (mut state, mut damaged) = (ControlState::default(), loaded.damaged);
        for Document { kind, key, value } in loaded.documents {
            damaged.extend(state.set(ChangedDocument { kind, key, value: Some(value) }).err());
        }
        (state, damaged)
    }

    /// Takes over documents as they are in the store now. Those that cannot be read are returned by name, and left out.
    pub(super) fn update(&mut self, changed: Vec<ChangedDocument>) -> Vec<Corrupt> {
        changed.into_iter().filter_map(|document| self.set(document).err()).collect()
    }

    fn set(&mut self, document: ChangedDocument) -> Result<(), Corrupt> {
        let ChangedDocument { kind, key, value } = document;
        let set = match &*kind {
            Publisher::KIND => set::<Publisher>(self, &key, value),
            StoredBundle::KIND => set::<StoredBundle>(self, &key, value),
            Revocation::KIND => set::<Revocation>(self, &key, value),
            ModelSettings::KIND => set::<ModelSettings>(self, &key, value),
            TenantRecord::KIND => set::<TenantRecord>(self, &key, value),
            KeyRecord::KIND => set::<KeyRecord>(self, &key, value),
            _ => Err("this host does not know this kind of document".into()),
        };
        set.map_err(|why| Corrupt { kind, key, why })
    }

    /// The keys of all bundles that should be served now, as models.
    pub(super) fn wanted(&self, unsigned: bool) -> BTreeSet<String> {
        let mut by_model: BTreeMap<(&str, &str), Vec<&StoredBundle>> = BTreeMap::new();
        for bundle in self.bundles.values() {
            let Some(model) = &bundle.model else { continue };
            if bundle.state == BundleState::Active && self.trusted(bundle, unsigned) {
                by_model.entry((&bundle.tenant, model)).or_default().push(bundle);
            }
        }
        let mut wanted = BTreeSet::new();
        for ((tenant, model), bundles) in by_model {
            let settings = self.models.get(&model_key(tenant, model)).cloned().unwrap_or_default();
            let versions = bundles.iter().map(|bundle| &bundle.version);
            let mut chosen = settings.policy.choose(versions);
            // A version that a label, a split or a shadow names stays active, even if the policy leaves it out after an
            // upload.
            chosen.extend(settings.routing.named());
            let chosen = bundles.iter().filter(|bundle| chosen.contains(&bundle.version));
            wanted.extend(chosen.map(|bundle| bundle_key(tenant, &bundle.name, &bundle.version)));
        }
        wanted
    }

    /// The versions of a model that are not deleted.
    pub(super) fn kept_versions(&self, tenant: &str, model: &str) -> impl Iterator<Item = &Version> {
        let kept = self.bundles.values().filter(|bundle| bundle.state != BundleState::Deleted);
        let of_model = move |bundle: &&StoredBundle| bundle.tenant == tenant && bundle.model.as_deref() == Some(model);
        kept.filter(of_model).map(|bundle| &bundle.version)
    }

    /// The digests of all files that a bundle still needs.
    pub(super) fn needed_files(&self) -> BTreeSet<Digest> {
        let kept = self.bundles.values().filter(|bundle| bundle.state != BundleState::Deleted);
        kept.flat_map(|bundle| bundle.files.values().map(|file| file.digest)).collect()
    }

    /// Bytes of all bundles that a tenant stores.
    pub(super) fn stored_bytes(&self, tenant: &str) -> u64 {
        let kept = self.bundles.values().filter(|bundle| bundle.tenant == tenant);
        kept.filter(|bundle| bundle.state != BundleState::Deleted).map(|bundle| bundle.bytes).sum()
    }
}

/// Puts a document into its table, or removes it if it has no value. One that cannot be read is removed, too: it may be a
/// key that was revoked.
fn set<T: Record>(state: &mut ControlState, key: &str, value: Option<Value>) -> Result<(), String> {
    T::table(state).remove(key);
    if let Some(value) = value {
        let document = serde_json::from_value(value).map_err(|error| error.to_string())?;
        T::table(state).insert(key.to_owned(), document);
    }
    Ok(())
}
