//! Reconciles what is live with the stored state. Callers, limits and routes follow at once. Versions that may no longer be
//! served are removed at once. Versions that should be served and are not yet are loaded in tasks of their own, a bounded
//! number at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_bundle::{Files, PublicKey, verify};

use super::records::{BundleState, StoredBundle};
use super::state::{ControlState, bundle_key, model_key};
use super::{BlockingControl, Control, ControlError, Trials};
use crate::activation::{ActivateError, Activation, Bundle, Dependencies, TrialError};
use crate::catalog::{Entry, Routing, Sharing};
use crate::pipeline::{Pipeline, for_callers};
use crate::sandbox::ActivationError;
use crate::scheduler::Party;
use crate::tenant::{Grants, KnownKey, Member, Members, Reservation, Tenant};

/// A version that is being loaded. However that ends, its entry in the catalog does not stay that of a load.
struct Load {
    control: Arc<Control>,
    bundle: StoredBundle,
    model: String,
    /// True if its outcome was put into the catalog, or was not wanted any more.
    finished: bool,
}

impl Load {
    fn finish(mut self, control: &BlockingControl, entry: Entry) {
        control.finish_loading(&self.bundle, &self.model, entry);
        self.finished = true;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let Load { control, bundle, model, finished: false } = self else { return };
        let (catalog, tenant, version) = (&control.catalog, &bundle.tenant, &bundle.version);
        if catalog.fail_loading(tenant, model, version, "the host failed while it loaded it; its log has the cause") {
            catalog.note_loaded();
        }
    }
}

/// The text of an error for everybody who calls the model. With `--dev` it has the words of a plugin's fault, too.
fn reason_for_callers(error: &ControlError, dev: bool) -> String {
    match error {
        ControlError::Activate(ActivateError::Plugin { plugin, error: ActivationError::InitFailed(error) }) if !dev => {
            format!("activate: plugin \"{plugin}\": its init {}", for_callers(error))
        }
        ControlError::Trial(TrialError::Run { trial, error }) if !dev => {
            format!("trial: trial \"{trial}\": {}", error.for_callers())
        }
        other => other.to_string(),
    }
}

impl Control {
    pub(super) fn reconcile(self: &Arc<Self>, state: &ControlState) {
        self.directory.replace(self.members(state));
        // Routes come first, so that none leads to a version that is removed below, and last, for models that are new.
        self.route(state);
        let wanted = state.wanted(self.dev);
        let (wanted, others): (Vec<_>, Vec<_>) = state.bundles.iter().partition(|(key, _)| wanted.contains(*key));
        let place =
            |bundle: &StoredBundle| Some((bundle.tenant.clone(), bundle.model.clone()?, bundle.version.clone()));
        // If two bundles made the same version of a model, one after the other, the deleted one must not remove the other's
        // entry.
        let mut taken: BTreeSet<_> = wanted.iter().filter_map(|(_, bundle)| place(bundle)).collect();
        for (_, bundle) in others.iter().filter(|(_, bundle)| bundle.state == BundleState::Active) {
            let (Some(place), Some(reason)) = (place(bundle), state.why_not(bundle, self.dev)) else { continue };
            let (tenant, model, version) = &place;
            if self.catalog.withhold(tenant, model, version, &reason) {
                tracing::info!(tenant, model, %version, reason, "not served any more");
            }
            taken.insert(place);
        }
        let gone = others.into_iter().filter_map(|(_, bundle)| place(bundle)).filter(|place| !taken.contains(place));
        for (tenant, model, version) in gone {
            if self.catalog.remove(&tenant, &model, &version) {
                tracing::info!(tenant, model, %version, "not served any more");
            }
        }
        for (_, bundle) in wanted {
            let Some(model) = &bundle.model else { continue };
            if self.catalog.entry(&bundle.tenant, model, &bundle.version).is_none() {
                self.spawn_load(bundle, model);
            }
        }
        self.route(state);
    }

    /// The tenants and keys of the state. A known tenant keeps its counters; its limits hold from the next request on.
    fn members(&self, state: &ControlState) -> Members {
        let present = self.directory.members();
        let mut tenants = BTreeMap::new();
        for (name, record) in &state.tenants {
            let limits = self.limits_of(record);
            let tenant = match present.tenants.get(name.as_str()) {
                Some(member) => member.tenant.clone(),
                None => {
                    self.warn_of_limits(name, record);
                    Arc::new(Tenant::new(name, limits.clone()).within(&self.resident))
                }
            };
            tenant.set_limits(limits);
            tenants.insert(tenant.name.clone(), Member { tenant, disabled: record.disabled });
        }
        let live = state.keys.iter().filter(|(_, key)| key.revoked.is_none());
        let keys = live.map(|(id, key)| {
            let (hash, expires) = (key.hash.clone(), key.expires.map(|expires| expires.0));
            (id.clone(), KnownKey { tenant: key.tenant.as_str().into(), role: key.role, hash, expires })
        });
        Members { keys: keys.collect(), tenants }
    }

    fn route(&self, state: &ControlState) {
        let models: BTreeSet<(&str, &str)> =
            state.bundles.values().filter_map(|bundle| Some((&*bundle.tenant, bundle.model.as_deref()?))).collect();
        for (tenant, model) in models {
            let settings = state.models.get(&model_key(tenant, model));
            let routing = Arc::new(settings.map_or_else(Routing::default, |settings| settings.routing.clone()));
            let sharing = Arc::new(settings.map_or_else(Sharing::default, |settings| settings.sharing.clone()));
            self.catalog.route(tenant, model, &routing, &sharing);
        }
    }

    /// Makes a stored version live in a task of its own, or puts the reason why it cannot be live into the catalog.
    fn spawn_load(self: &Arc<Self>, bundle: &StoredBundle, model: &str) {
        self.catalog.set(&bundle.tenant, model, &bundle.version, Entry::Loading);
        let (control, bundle, model) = (self.clone(), bundle.clone(), model.to_owned());
        let load = Load { control, bundle, model, finished: false };
        tokio::spawn(async move {
            let bundle = &load.bundle;
            let entry = match load.control.load_in_turn(bundle).await {
                Ok(pipeline) => {
                    tracing::info!(bundle = bundle.name, version = %bundle.version, load.model, "loaded");
                    Entry::Ready(pipeline)
                }
                Err(error) => {
                    tracing::error!(bundle = bundle.name, version = %bundle.version, load.model, %error, "not served");
                    Entry::Failed(reason_for_callers(&error, load.control.dev).into())
                }
            };
            let control = load.control.clone();
            let finished = control.blocking(move |control| {
                load.finish(control, entry);
                Ok(())
            });
            if let Err(error) = finished.await {
                tracing::error!(%error, "a loaded version could not be put into the catalog");
            }
        });
    }

    /// Loads a version, and tries again every second while the host is too busy to admit its trials.
    async fn load_in_turn(self: &Arc<Self>, stored: &StoredBundle) -> Result<Arc<Pipeline>, ControlError> {
        loop {
            match self.load(stored).await {
                Err(ControlError::Admission(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
                loaded => return loaded,
            }
        }
    }

    async fn load(self: &Arc<Self>, stored: &StoredBundle) -> Result<Arc<Pipeline>, ControlError> {
        let _turn = self.activations.take(&Party::Tenant(stored.tenant.as_str().into())).await;
        let wanted = stored.clone();
        let (bundle, grants, others) = self
            .blocking(move |control| {
                let (bundle, grants) = control.open_stored(&wanted)?;
                let others = control.open_used(&wanted)?;
                Ok((bundle, grants, others))
            })
            .await?;
        self.activate(
            &stored.tenant,
            Arc::new(bundle),
            grants,
            Arc::new(others),
            Trials::AtLoad,
            Arc::new(|_: &str| ()),
        )
        .await
    }

    /// A memory reservation for a version that is about to be loaded; nothing is counted in it yet.
    fn reserve(&self, tenant: &str) -> Result<Reservation, ControlError> {
        let members = self.directory.members();
        let member = members.tenants.get(tenant).ok_or_else(|| ControlError::no_such("tenant", tenant))?;
        Ok(self.resident.reserve(&member.tenant))
    }

    /// Compiles, initialises and loads a bundle in the turns of its tenant, and tries it in turns of its own, within the
    /// tenant's limits. The caller holds a turn of `activations`.
    pub async fn activate(
        self: &Arc<Self>,
        tenant: &str,
        bundle: Arc<Bundle>,
        grants: Grants,
        others: Arc<Dependencies>,
        trials: Trials,
        report: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Arc<Pipeline>, ControlError> {
        let reservation = self.reserve(tenant)?;
        let (control, made, used, told) = (self.clone(), bundle.clone(), others.clone(), report.clone());
        let owner: Arc<str> = tenant.into();
        let making = Box::pin(async move {
            let activation =
                Activation { tenant: &owner, bundle: &made, grants: &grants, others: &used, report: &*told };
            control.activator.activate(&activation, reservation).await
        });
        let made = self.compute.run_background(&tenant.into(), making).await.map_err(|_| ControlError::Panicked)?;
        let pipeline = Arc::new(made?);
        if bundle.manifest.trials.is_empty() {
            return Ok(pipeline);
        }
        self.try_out(tenant, &bundle, &others, &pipeline, trials).await?;
        let number = bundle.manifest.trials.len();
        let plural = if number == 1 { "" } else { "s" };
        report(&format!("{number} trial request{plural} passed"));
        Ok(pipeline)
    }
}

impl BlockingControl {
    /// Serves again what was served before the host was started.
    pub fn restore(&self) {
        let locked = self.lock();
        self.reconcile(&locked.state);
        self.catalog.note_restored();
    }

    /// Puts the result of a load into the catalog, unless the version was taken out of service or replaced in the meantime.
    fn finish_loading(&self, bundle: &StoredBundle, model: &str, entry: Entry) {
        let locked = self.lock();
        let key = bundle_key(&bundle.tenant, &bundle.name, &bundle.version);
        let same = locked.state.bundles.get(&key).is_some_and(|now| now.digest == bundle.digest);
        if same && locked.state.wanted(self.dev).contains(&key) {
            self.catalog.set(&bundle.tenant, model, &bundle.version, entry);
        }
        self.catalog.note_loaded();
    }

    /// Reads the stored files and verifies them again, so that exactly the signed contents are served.
    pub(super) fn open_stored(&self, stored: &StoredBundle) -> Result<(Bundle, Grants), ControlError> {
        let mut parts = BTreeMap::new();
        for (path, file) in &stored.files {
            parts.insert(path.clone(), self.blobs().get(&file.digest)?);
        }
        let files = Files::from_parts(parts, &self.bounds)?;
        let signer = self.read(|state| {
            let (_, publisher, key) = state.signer(stored)?;
            Some((publisher.imports.iter().copied().collect::<Grants>(), key.pem.clone()))
        });
        match signer {
            Some((grants, pem)) => {
                let verified = verify(files, &self.bounds, |_| PublicKey::from_pem(&pem).ok())?;
                Ok((Bundle::complete(verified.into_files())?, grants))
            }
            None => {
                let bundle = Bundle::complete(files)?;
                let grants = bundle.manifest.imports().into_iter().collect();
                Ok((bundle, grants))
            }
        }
    }

    /// The bundles that stages were taken from, in the versions that were chosen at the upload.
    pub(super) fn open_used(&self, stored: &StoredBundle) -> Result<Dependencies, ControlError> {
        // Stages of the same bundle share one value.
        let (mut others, mut opened) = (Dependencies::new(), BTreeMap::new());
        for (stage, used) in &stored.uses {
            let key = bundle_key(&stored.tenant, &used.name, &used.version);
            if !opened.contains_key(&key) {
                let found = self.read(|state| state.bundles.get(&key).cloned());
                let found = found.ok_or_else(|| ControlError::no_such("bundle", &key))?;
                let (bundle, grants) = self.open_stored(&found)?;
                opened.insert(key.clone(), (Arc::new(bundle), grants));
            }
            others.extend(opened.get(&key).map(|opened| (stage.clone(), opened.clone())));
        }
        Ok(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{RunError, StageError};
    use crate::sandbox::CallError;

    #[test]
    fn callers_do_not_read_what_a_plugin_said_of_its_fault() {
        let faults = [
            CallError::Trap { reason: "panicked at src/lib.rs:3:4: secret".into(), told: false },
            CallError::Internal("secret".into()),
        ];
        for fault in faults {
            let run = RunError { stage: "trapped: one".into(), error: StageError::Plugin(fault) };
            let error = ControlError::Trial(TrialError::Run { trial: "trapped: two".into(), error: run });
            let told = reason_for_callers(&error, false);
            assert!(
                !told.contains("secret") && told.contains("trapped: one") && told.contains("trapped: two"),
                "{told}"
            );
            assert!(told.ends_with("the host's log has the cause"), "{told}");
            assert!(reason_for_callers(&error, true).contains("secret"));
        }
        let plugin = "trapped: three".to_owned();
        let error = ActivateError::Plugin { plugin, error: ActivationError::InitRefused("no such file".into()) };
        let told = reason_for_callers(&error.into(), false);
        assert!(told.contains("trapped: three") && told.ends_with("no such file"), "{told}");
    }
}
