//! Acts on stored bundles: listing, deletion, and revocation of contents.

use bulkhead_bundle::{Digest, MANIFEST};

use super::records::{BundleState, Revocation, StoredBundle, Timestamp};
use super::state::{ControlState, bundle_key};
use super::{Actor, BlockingControl, ControlError};
use crate::activation::Manifest;

impl BlockingControl {
    /// Revokes contents by their digest. They stop serving at once, in every tenant, and cannot return. Of contents that were
    /// revoked before, this changes the reason, if one is given.
    pub fn revoke_bundle(&self, who: &Actor, digest: &Digest, reason: &str) -> Result<(), ControlError> {
        let key = digest.to_string();
        let reason = crate::config::clip(reason.trim().into());
        self.commit(who, "bundle revoke", &key, |state, change| {
            let before = state.revoked.get(&key);
            if before.is_some_and(|before| reason.is_empty() || before.reason == reason) {
                return Ok(());
            }
            let revocation = Revocation { at: Timestamp::now(), by: who.to_string(), reason: reason.clone() };
            change.audit(&before, &revocation);
            change.revokes = true;
            change.put(&key, revocation);
            Ok(())
        })
    }

    /// Removes a bundle's files, and with the last bundle of a model the model's settings. The record of its version stays.
    pub fn delete_bundle(&self, who: &Actor, tenant: &str, digest: &Digest) -> Result<(), ControlError> {
        let files = self.commit(who, "bundle delete", &format!("{digest} of tenant {tenant}"), |state, change| {
            let mut files = Vec::new();
            for (key, stored) in find_bundles(state, tenant, digest)? {
                refuse_if_used(state, stored)?;
                let deleted = StoredBundle { state: BundleState::Deleted, ..stored.clone() };
                change.audit_version(state, stored, deleted.state);
                files.extend(stored.files.values().map(|file| file.digest));
                change.put(key, deleted);
                if let Some(model) = &stored.model {
                    change.forget_version(state, tenant, model, &stored.version);
                }
            }
            Ok(files)
        })?;
        self.remove_unneeded(&files);
        Ok(())
    }

    /// Reads the imports of bundles that an earlier version of this program stored without them; called once, at the start.
    /// They are kept in memory, and stored with the next act on the bundle. A manifest that cannot be read keeps its bundle
    /// from being loaded, too, so nothing is lost if it is left out here.
    pub(super) fn note_imports(&self) {
        let unknown = |bundle: &StoredBundle| bundle.imports.is_none() && bundle.state != BundleState::Deleted;
        let manifests: Vec<(String, Digest)> = self.read(|state| {
            let some = state.bundles.iter().filter(|(_, bundle)| unknown(bundle));
            some.filter_map(|(key, bundle)| Some((key.clone(), bundle.files.get(MANIFEST)?.digest))).collect()
        });
        for (key, digest) in manifests {
            let Ok(text) = self.blobs().get(&digest) else { continue };
            let Some(manifest) = std::str::from_utf8(&text).ok().and_then(|text| Manifest::parse(text).ok()) else {
                continue;
            };
            if let Some(bundle) = self.lock().state.bundles.get_mut(&key) {
                bundle.imports = Some(manifest.imports());
            }
        }
    }

    /// The bundles of one tenant or of all tenants, each with the reason why it may not be served, if there is one. A deleted
    /// bundle needs none.
    pub fn bundles(&self, tenant: Option<&str>) -> Vec<(StoredBundle, Option<String>)> {
        self.read(|state| {
            let some = state.bundles.values().filter(|bundle| tenant.is_none_or(|tenant| bundle.tenant == tenant));
            let why_not = |bundle: &StoredBundle| match bundle.state {
                BundleState::Deleted => None,
                BundleState::Active | BundleState::Retired => state.why_not(bundle, self.dev),
            };
            some.map(|bundle| (bundle.clone(), why_not(bundle))).collect()
        })
    }
}

fn find_bundles<'a>(
    state: &'a ControlState,
    tenant: &str,
    digest: &Digest,
) -> Result<Vec<(&'a String, &'a StoredBundle)>, ControlError> {
    let kept = |bundle: &StoredBundle| bundle.digest == *digest && bundle.state != BundleState::Deleted;
    let found: Vec<_> = state.bundles.iter().filter(|(_, bundle)| bundle.tenant == tenant && kept(bundle)).collect();
    if found.is_empty() { Err(ControlError::no_such("bundle", digest.to_string())) } else { Ok(found) }
}

fn refuse_if_used(state: &ControlState, bundle: &StoredBundle) -> Result<(), ControlError> {
    let key = bundle_key(&bundle.tenant, &bundle.name, &bundle.version);
    let uses = |other: &&StoredBundle| {
        let mut used = other.uses.values().map(|used| bundle_key(&other.tenant, &used.name, &used.version));
        other.state != BundleState::Deleted && used.any(|used| used == key)
    };
    match state.bundles.values().find(uses) {
        None => Ok(()),
        Some(by) => Err(ControlError::InUse {
            name: bundle.name.clone(),
            version: bundle.version.clone(),
            by: format!("{} {}", by.name, by.version),
        }),
    }
}
