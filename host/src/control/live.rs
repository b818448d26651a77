//! Brings what is live in line with what is written: callers, limits, routes at once; versions that may no longer be
//! served at once; versions that should be and are not yet, one after the other on threads of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_bundle::{Files, PublicKey, verify};
use bulkhead_store::Digest as BlobDigest;

use super::documents::StoredBundle;
use super::state::{State, bundle_key, model_key};
use super::{Control, ControlError, Kept};
use crate::bundle::{Activation, Bundle, Others, run_trials};
use crate::catalog::{Entry, Routing, Sharing};
use crate::pipeline::Pipeline;
use crate::tenant::{Grants, KnownKey, Member, Members, Tenant};

impl Control {
    pub(super) fn bring_in_line(self: &Arc<Self>, state: &State) {
        self.directory.replace(self.members(state));
        self.route(state);
        let wanted = state.wanted(self.dev);
        for (key, bundle) in &state.bundles {
            let Some(model) = &bundle.model else { continue };
            let live = self.catalog.entry(&bundle.tenant, model, &bundle.version).is_some();
            match (live, wanted.contains(key)) {
                (true, false) => self.catalog.remove(&bundle.tenant, model, &bundle.version),
                (false, true) => self.load_aside(bundle, model),
                _ => {}
            }
        }
    }

    /// At the start: what was served before is served again.
    pub fn restore(self: &Arc<Self>) {
        let kept = self.kept();
        self.bring_in_line(&kept.state);
    }

    /// Tenants keep what is counted of them; their limits hold from the next request on.
    fn members(&self, state: &State) -> Members {
        let present = self.directory.members();
        let mut tenants = BTreeMap::new();
        for (name, record) in &state.tenants {
            let limits = self.limits_of(record);
            let tenant = match present.tenants.get(name.as_str()) {
                Some(member) => member.tenant.clone(),
                None => Arc::new(Tenant::new(name, limits.clone())),
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

    fn route(&self, state: &State) {
        let models: BTreeSet<(&str, &str)> =
            state.bundles.values().filter_map(|bundle| Some((&*bundle.tenant, bundle.model.as_deref()?))).collect();
        for (tenant, model) in models {
            let settings = state.models.get(&model_key(tenant, model));
            let routing = Arc::new(settings.map_or_else(Routing::default, |settings| settings.routing.clone()));
            let sharing = Arc::new(settings.map_or_else(Sharing::default, |settings| settings.sharing.clone()));
            self.catalog.route(tenant, model, &routing, &sharing);
        }
    }

    /// Makes a stored version live, or tells why it cannot be.
    fn load_aside(self: &Arc<Self>, bundle: &StoredBundle, model: &str) {
        self.catalog.set(&bundle.tenant, model, &bundle.version, Entry::Loading);
        let (control, bundle, model) = (self.clone(), bundle.clone(), model.to_owned());
        tokio::spawn(async move {
            let entry = match control.load(&bundle).await {
                Ok(pipeline) => {
                    tracing::info!(bundle = bundle.name, version = %bundle.version, model, "loaded");
                    Entry::Ready(Arc::new(pipeline))
                }
                Err(error) => {
                    tracing::error!(bundle = bundle.name, version = %bundle.version, model, %error, "not served");
                    Entry::Failed(error.to_string().into())
                }
            };
            control.finish_loading(&bundle, &model, entry);
        });
    }

    /// Unless it was taken back in the meantime.
    fn finish_loading(&self, bundle: &StoredBundle, model: &str, entry: Entry) {
        let kept = self.kept();
        let key = bundle_key(&bundle.tenant, &bundle.name, &bundle.version);
        if kept.state.wanted(self.dev).contains(&key) {
            self.catalog.set(&bundle.tenant, model, &bundle.version, entry);
        }
    }

    async fn load(self: &Arc<Self>, stored: &StoredBundle) -> Result<Pipeline, ControlError> {
        let _turn = self.activations.acquire().await;
        let wanted = stored.clone();
        let (bundle, grants, others) = self
            .aside(move |control| {
                let (bundle, grants) = control.open_stored(&wanted)?;
                let others = control.open_used(&wanted)?;
                Ok((bundle, grants, others))
            })
            .await?;
        self.activate(&stored.tenant, Arc::new(bundle), grants, Arc::new(others), Arc::new(|_: &str| ())).await
    }

    /// The files as they were stored, verified again: what is served is what was signed.
    pub(super) fn open_stored(&self, stored: &StoredBundle) -> Result<(Bundle, Grants), ControlError> {
        let mut parts = BTreeMap::new();
        for (path, file) in &stored.files {
            parts.insert(path.clone(), self.blobs.get(&BlobDigest(*file.digest.as_bytes()))?);
        }
        let files = Files::from_parts(parts, &self.bounds)?;
        let signer = self.look(|state| {
            let (_, publisher, key) = state.signer(stored)?;
            Some((publisher.imports.iter().copied().collect::<Grants>(), key.pem.clone()))
        });
        match signer {
            Some((grants, pem)) => {
                let verified = verify(files, &self.bounds, |_| PublicKey::from_pem(&pem).ok())?;
                Ok((Bundle::read(verified.into_files())?, grants))
            }
            None => {
                let bundle = Bundle::read(files)?;
                let grants = bundle.manifest.imports().into_iter().collect();
                Ok((bundle, grants))
            }
        }
    }

    /// The bundles that stages were taken from, as they were chosen.
    pub(super) fn open_used(&self, stored: &StoredBundle) -> Result<Others, ControlError> {
        let mut others = Others::new();
        for (stage, used) in &stored.uses {
            let key = bundle_key(&stored.tenant, &used.name, &used.version);
            let found = self.look(|state| state.bundles.get(&key).cloned());
            let found = found.ok_or_else(|| ControlError::no_such("bundle", &key))?;
            let (bundle, grants) = self.open_stored(&found)?;
            others.insert(stage.clone(), (Arc::new(bundle), grants));
        }
        Ok(others)
    }

    /// Compiles, initialises, loads and tries a bundle in its tenant's turns, within its tenant's limits. Whoever calls
    /// holds one of `activations`.
    pub async fn activate(
        self: &Arc<Self>,
        tenant: &str,
        bundle: Arc<Bundle>,
        grants: Grants,
        others: Arc<Others>,
        report: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Pipeline, ControlError> {
        let (control, made, told) = (self.clone(), bundle.clone(), report.clone());
        let making = async move {
            let activation = Activation { bundle: &made, grants: &grants, others: &others, report: &*told };
            control.activator.activate(&activation).await
        };
        let pipeline = self.compute.run_aside(&tenant.into(), making).await.map_err(|_| ControlError::Panicked)??;
        if bundle.manifest.trials.is_empty() {
            return Ok(pipeline);
        }
        let tenant = self.directory.members().tenants.get(tenant).map(|member| member.tenant.clone());
        let tenant = tenant.ok_or_else(|| ControlError::no_such("tenant", "of the bundle"))?;
        let permit = self.compute.admit(&tenant, Arc::default()).await?;
        let permit = Arc::new(permit);
        let held = permit.clone();
        let trials = bundle.manifest.trials.len();
        let trying = async move { run_trials(&bundle, &pipeline, &held).await.map(|_| pipeline) };
        let pipeline = self.compute.run(&permit, trying).await.map_err(|_| ControlError::Panicked)??;
        report(&format!("{trials} trial requests"));
        Ok(pipeline)
    }

    /// Removes files that neither a bundle nor an upload under way needs.
    pub(super) fn remove_unneeded_files(&self, kept: &Kept) -> Result<(), ControlError> {
        let mut needed = kept.state.needed_files();
        needed.extend(kept.claimed.keys());
        let needed: BTreeSet<&[u8; 32]> = needed.iter().map(|digest| digest.as_bytes()).collect();
        let mut unneeded = self.blobs.list()?.into_iter().filter(|(digest, _)| !needed.contains(&digest.0));
        unneeded.try_for_each(|(digest, _)| Ok(self.blobs.remove(&digest)?))
    }
}
