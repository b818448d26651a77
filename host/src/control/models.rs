//! The versions of a tenant's models that are served, and to whom: labels, splits, shadows, policies, sharing, rollback.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_bundle::Digest;
use semver::Version;

use super::model_bounds::{check_labels, check_policy, check_shadow, check_split};
use super::names::check_label;
use super::records::{BundleState, ModelSettings, Policy, StoredBundle};
use super::state::{Change, ControlState, bundle_key, model_key};
use super::{Actor, BlockingControl, Control, ControlError};
use crate::catalog::{Entry, LookupError, STABLE, Shadow, Sharing, Split};

/// A tenant's model: its versions, and the settings by which they are served.
#[derive(Debug)]
pub struct ModelStatus {
    pub tenant: String,
    pub model: String,
    /// The version that requests without a version go to if there is no split.
    pub serves: Option<Version>,
    /// The error that such requests get, if there is no version for them.
    pub not_served_because: Option<String>,
    pub versions: Vec<VersionStatus>,
    pub settings: ModelSettings,
}

#[derive(Debug)]
pub struct VersionStatus {
    pub version: Version,
    pub bundle: String,
    pub digest: Digest,
    pub state: VersionState,
    /// The reason, if it failed or was revoked.
    pub reason: Option<String>,
}

/// The state of a version, from the stored state and the catalog together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    Ready,
    Loading,
    Failed,
    Retired,
    /// Left out by the model's policy.
    Inactive,
    Revoked,
    Deleted,
}

/// The state that an act gives to a version, or to all versions of a model. Their files stay in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Puts them back into service.
    Resume,
    /// Takes them out of service.
    Stop,
}

/// The reason why no version of a model is served, if each of them is kept from it by its owner.
const NONE_IN_SERVICE: &str = "none of its versions is in service: they were retired or deleted, or its policy leaves them out; put one back with: bulkhead model activate MODEL VERSION";

/// Bound on the versions that are remembered for rollback.
const REMEMBERED: usize = 20;

impl ModelSettings {
    pub(super) fn remember(&mut self, version: Version) {
        if self.served.last() != Some(&version) {
            self.served.push(version);
        }
        let too_many = self.served.len().saturating_sub(REMEMBERED);
        self.served.drain(..too_many);
    }
}

impl BlockingControl {
    pub fn set_label(
        &self,
        who: &Actor,
        tenant: &str,
        model: &str,
        label: &str,
        version: Option<Version>,
    ) -> Result<ModelStatus, ControlError> {
        check_label(label)?;
        self.change_model(who, "model label", tenant, model, |settings, served, _| {
            if label == STABLE {
                served.into_iter().for_each(|version| settings.remember(version));
            }
            match &version {
                Some(version) => {
                    settings.routing.labels.insert(label.into(), version.clone());
                    check_labels(&settings.routing)?;
                }
                None => {
                    let gone = settings.routing.labels.remove(label);
                    gone.ok_or_else(|| ControlError::no_such("label", label))?;
                }
            }
            Ok(())
        })
    }

    pub fn set_split(
        &self,
        who: &Actor,
        tenant: &str,
        model: &str,
        split: Option<Split>,
    ) -> Result<ModelStatus, ControlError> {
        if let Some(split) = &split {
            check_split(split)?;
        }
        self.change_model(who, "model split", tenant, model, |settings, _, _| {
            settings.routing.split = split.clone();
            Ok(())
        })
    }

    pub fn set_shadow(
        &self,
        who: &Actor,
        tenant: &str,
        model: &str,
        shadow: Option<Shadow>,
    ) -> Result<ModelStatus, ControlError> {
        if let Some(shadow) = &shadow {
            check_shadow(shadow)?;
        }
        self.change_model(who, "model shadow", tenant, model, |settings, _, _| {
            settings.routing.shadow = shadow.clone();
            Ok(())
        })
    }

    pub fn set_policy(
        &self,
        who: &Actor,
        tenant: &str,
        model: &str,
        policy: Policy,
    ) -> Result<ModelStatus, ControlError> {
        check_policy(&policy)?;
        self.change_model(who, "model policy", tenant, model, |settings, _, _| {
            settings.policy = policy.clone();
            Ok(())
        })
    }

    /// Lets other tenants call the model. They must exist, because a later tenant of a name must not find anything shared
    /// with it that was not shared since.
    pub fn share(&self, who: &Actor, tenant: &str, model: &str, sharing: Sharing) -> Result<ModelStatus, ControlError> {
        if let Sharing::Tenants(names) = &sharing {
            let unknown = |state: &ControlState| names.iter().find(|name| !state.tenants.contains_key(*name)).cloned();
            self.read(unknown).map_or(Ok(()), |name| Err(ControlError::no_such("tenant", name)))?;
        }
        self.change_model(who, "model share", tenant, model, |settings, _, _| {
            settings.sharing = sharing.clone();
            Ok(())
        })
    }

    /// Returns to the version that served before, with one swap. Requests in flight are not interrupted.
    pub fn rollback(&self, who: &Actor, tenant: &str, model: &str) -> Result<ModelStatus, ControlError> {
        self.change_model(who, "model rollback", tenant, model, |settings, served, active| {
            let nothing = || ControlError::NothingToReturnTo {
                tenant: tenant.into(),
                model: model.into(),
                present: served.as_ref().map_or("none".into(), Version::to_string),
                active: list(active),
            };
            let fits = |version: &Version| Some(version) != served.as_ref() && active.contains(version);
            let at = settings.served.iter().rposition(fits).ok_or_else(nothing)?;
            let version = settings.served.swap_remove(at);
            settings.served.truncate(at);
            settings.routing.split = None;
            settings.routing.labels.insert(STABLE.into(), version);
            Ok(())
        })
    }

    /// Takes a version out of service, or puts it back into service.
    pub fn set_version_serving(
        &self,
        who: &Actor,
        tenant: &str,
        model: &str,
        version: &Version,
        serving: Serving,
    ) -> Result<ModelStatus, ControlError> {
        let (what, now) = match serving {
            Serving::Resume => ("model activate", BundleState::Active),
            Serving::Stop => ("model retire", BundleState::Retired),
        };
        self.commit(who, what, &format!("{model} {version} of tenant {tenant}"), |state, change| {
            let bundle = versions(state, tenant, model).find(|bundle| bundle.version == *version);
            let bundle = bundle.filter(|bundle| bundle.state != BundleState::Deleted);
            let bundle = bundle.ok_or_else(|| ControlError::no_such("version", version.to_string()))?;
            if serving == Serving::Resume {
                if let Some(reason) = state.why_not(bundle, self.dev) {
                    return Err(ControlError::NotTrusted { model: model.into(), version: version.clone(), reason });
                }
                self.check_models(state, tenant, usize::from(bundle.state != now))?;
            }
            change.audit_version(state, bundle, now);
            let key = bundle_key(tenant, &bundle.name, version);
            change.put(&key, StoredBundle { state: now, ..bundle.clone() });
            if serving == Serving::Stop {
                change.forget_routes(state, tenant, model, version);
            }
            self.load_again(change, tenant, model, BTreeSet::from([version.clone()]));
            Ok(())
        })?;
        self.model(tenant, model)
    }

    /// Takes all of a model's versions out of service, or puts them back into service. Versions that failed are loaded again.
    pub fn set_serving(&self, who: &Actor, tenant: &str, model: &str, serving: Serving) -> Result<(), ControlError> {
        let (what, from, to) = match serving {
            Serving::Resume => ("model load", BundleState::Retired, BundleState::Active),
            Serving::Stop => ("model unload", BundleState::Active, BundleState::Retired),
        };
        self.commit(who, what, &format!("{model} of tenant {tenant}"), |state, change| {
            find_model(state, tenant, model)?;
            let may = |bundle: &StoredBundle| serving == Serving::Stop || state.trusted(bundle, self.dev);
            let (mut changed, mut retried) = (Vec::new(), BTreeSet::new());
            if serving == Serving::Resume {
                retried = self.catalog.failed(tenant, model);
            }
            for bundle in versions(state, tenant, model) {
                let again = bundle.state == to && retried.contains(&bundle.version);
                if (bundle.state == from || again) && may(bundle) {
                    changed.push(bundle);
                }
            }
            if serving == Serving::Resume {
                self.check_models(state, tenant, changed.iter().filter(|bundle| bundle.state == from).count())?;
            }
            change.audit(&changed.iter().map(|bundle| &bundle.version).collect::<Vec<_>>(), &to);
            for bundle in changed {
                let key = bundle_key(tenant, &bundle.name, &bundle.version);
                change.put(&key, StoredBundle { state: to, ..bundle.clone() });
            }
            self.load_again(change, tenant, model, retried);
            Ok(())
        })
    }

    /// Removes the entries of failed versions once the change is committed: without them, they are loaded again.
    fn load_again(&self, change: &mut Change, tenant: &str, model: &str, versions: BTreeSet<Version>) {
        let (catalog, tenant, model) = (self.catalog.clone(), tenant.to_owned(), model.to_owned());
        change.then(move |_| {
            for version in versions {
                if matches!(catalog.entry(&tenant, &model, &version), Some(Entry::Failed(_))) {
                    catalog.remove(&tenant, &model, &version);
                }
            }
        });
    }

    pub fn models(&self, tenant: Option<&str>) -> Vec<ModelStatus> {
        self.read(|state| {
            let some = state.bundles.values().filter(|bundle| tenant.is_none_or(|tenant| bundle.tenant == tenant));
            let names: BTreeSet<(&str, &str)> =
                some.filter_map(|bundle| Some((&*bundle.tenant, bundle.model.as_deref()?))).collect();
            names.into_iter().map(|(tenant, model)| self.view_model(state, tenant, model)).collect()
        })
    }

    pub fn model(&self, tenant: &str, model: &str) -> Result<ModelStatus, ControlError> {
        self.read(|state| {
            find_model(state, tenant, model)?;
            Ok(self.view_model(state, tenant, model))
        })
    }

    fn change_model(
        &self,
        who: &Actor,
        what: &str,
        tenant: &str,
        model: &str,
        edit: impl Fn(&mut ModelSettings, Option<Version>, &BTreeSet<Version>) -> Result<(), ControlError>,
    ) -> Result<ModelStatus, ControlError> {
        self.commit(who, what, &format!("{model} of tenant {tenant}"), |state, change| {
            state.kept_versions(tenant, model).next().ok_or_else(|| ControlError::no_such("model", model))?;
            let key = model_key(tenant, model);
            let before = state.models.get(&key).cloned().unwrap_or_default();
            let mut settings = before.clone();
            let active = self.active(state, tenant, model);
            edit(&mut settings, self.catalog.served(tenant, model), &active)?;
            settings.check(model, &before, &active)?;
            change.audit(&before, &settings);
            change.put(&key, settings);
            Ok(())
        })?;
        self.model(tenant, model)
    }
}

impl Control {
    fn active(&self, state: &ControlState, tenant: &str, model: &str) -> BTreeSet<Version> {
        let ready = |bundle: &&StoredBundle| {
            matches!(self.catalog.entry(tenant, model, &bundle.version), Some(Entry::Ready(_)))
        };
        versions(state, tenant, model).filter(ready).map(|bundle| bundle.version.clone()).collect()
    }

    fn view_model(&self, state: &ControlState, tenant: &str, model: &str) -> ModelStatus {
        let view = |bundle: &StoredBundle| {
            let (state, reason) = self.state_of(state, bundle, model);
            let (version, digest) = (bundle.version.clone(), bundle.digest);
            VersionStatus { version, bundle: bundle.name.clone(), digest, state, reason }
        };
        let because = |refusal| match refusal {
            // To its owner, the model is not unknown.
            LookupError::UnknownModel { .. } => NONE_IN_SERVICE.into(),
            other => other.to_string(),
        };
        ModelStatus {
            tenant: tenant.into(),
            model: model.into(),
            not_served_because: self.catalog.refusal(tenant, model).map(because),
            serves: self.catalog.served(tenant, model),
            versions: versions(state, tenant, model).map(view).collect(),
            settings: state.models.get(&model_key(tenant, model)).cloned().unwrap_or_default(),
        }
    }

    fn state_of(&self, state: &ControlState, bundle: &StoredBundle, model: &str) -> (VersionState, Option<String>) {
        match bundle.state {
            BundleState::Deleted => return (VersionState::Deleted, None),
            BundleState::Retired => return (VersionState::Retired, None),
            BundleState::Active => {}
        }
        match self.catalog.entry(&bundle.tenant, model, &bundle.version) {
            Some(Entry::Ready(_)) => (VersionState::Ready, None),
            Some(Entry::Loading) => (VersionState::Loading, None),
            Some(Entry::Failed(reason)) => (VersionState::Failed, Some(reason.to_string())),
            None => match state.why_not(bundle, self.dev) {
                Some(reason) => (VersionState::Revoked, Some(reason)),
                None => (VersionState::Inactive, None),
            },
        }
    }
}

impl ModelSettings {
    /// Checks that requests are sent only to versions that are ready. A version that the settings named before is accepted
    /// even if it was revoked since then, because that is no reason to refuse an unrelated change.
    fn check(&self, model: &str, before: &ModelSettings, active: &BTreeSet<Version>) -> Result<(), ControlError> {
        let known: BTreeSet<&Version> = before.routing.named().collect();
        match self.routing.named().find(|version| !active.contains(version) && !known.contains(version)) {
            None => Ok(()),
            Some(version) => {
                Err(ControlError::NotActive { model: model.into(), version: version.clone(), active: list(active) })
            }
        }
    }
}

fn list(versions: &BTreeSet<Version>) -> String {
    let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
    if versions.is_empty() { "none".into() } else { versions.join(", ") }
}

fn versions<'a>(state: &'a ControlState, tenant: &str, model: &str) -> impl Iterator<Item = &'a StoredBundle> {
    let of_model = move |bundle: &&StoredBundle| bundle.tenant == tenant && bundle.model.as_deref() == Some(model);
    let mut found: BTreeMap<&Version, &StoredBundle> = BTreeMap::new();
    for bundle in state.bundles.values().filter(of_model) {
        // A deleted bundle must not hide its successor, which may have another bundle's name.
        let place = found.entry(&bundle.version).or_insert(bundle);
        if place.state == BundleState::Deleted {
            *place = bundle;
        }
    }
    found.into_values()
}

fn find_model(state: &ControlState, tenant: &str, model: &str) -> Result<(), ControlError> {
    match versions(state, tenant, model).next() {
        Some(_) => Ok(()),
        None => Err(ControlError::no_such("model", model)),
    }
}
