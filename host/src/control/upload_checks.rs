//! Checks of an upload that need the state: its key, the rights of its publisher, the limits of its tenant, and the
//! contents that its version already has.

use std::collections::BTreeMap;

use bulkhead_bundle::{KeyHint, PublicKey};

use super::records::{BundleState, StoredBundle, Timestamp, Used};
use super::state::{ControlState, bundle_key};
use super::trust::Signer;
use super::{Control, ControlError};
use crate::activation::{Bundle, ExternalStage};
use crate::tenant::Grants;

impl Control {
    pub(super) fn check_room(&self, state: &ControlState, stored: &StoredBundle) -> Result<(), ControlError> {
        let record = state.tenants.get(&stored.tenant);
        let record = record.ok_or_else(|| ControlError::no_such("tenant", &stored.tenant))?;
        state.check_identity(stored)?;
        let limits = self.limits_of(record);
        let used = state.stored_bytes(&stored.tenant) - state.present(stored).map_or(0, |present| present.bytes);
        if used.saturating_add(stored.bytes) > limits.stored_bytes {
            return Err(ControlError::TooManyBytes { used, wanted: stored.bytes, bound: limits.stored_bytes });
        }
        let is_active = state.present(stored).is_some_and(|present| present.state == BundleState::Active);
        let comes_anew = stored.model.is_some() && !is_active;
        self.check_models(state, &stored.tenant, usize::from(comes_anew))
    }
}

impl ControlState {
    pub(super) fn key(&self, hint: &KeyHint) -> Option<PublicKey> {
        let (_, _, key) = self.with_key(*hint).next()?;
        PublicKey::from_pem(&key.pem).ok()
    }

    /// The capabilities that the bundle's plugins may be granted. Fails if the key's publisher may not use the bundle's
    /// name now, or the bundle's imports.
    pub(super) fn may_publish(&self, bundle: &Bundle, hint: &KeyHint) -> Result<Grants, ControlError> {
        let name = &bundle.manifest.bundle.name;
        let (now, imports) = (Timestamp::now(), bundle.manifest.imports());
        let meets = |(_, record, key): &Signer| key.valid_at(now) && imports.is_subset(&record.imports);
        let (publisher, record, key) =
            self.publisher_of(*hint, name, meets).ok_or(bulkhead_bundle::Refused::UnknownKey(*hint))?;
        if !record.owns(name) {
            let names = record.names.iter().cloned().collect::<Vec<_>>().join(", ");
            return Err(ControlError::NotItsName { publisher: publisher.clone(), bundle: name.clone(), names });
        }
        if !key.valid_at(now) {
            let window = match (key.not_before, key.not_after) {
                (Some(from), Some(until)) => format!("from {from} until {until}"),
                (Some(from), None) => format!("from {from} on"),
                (None, Some(until)) => format!("until {until}"),
                (None, None) => "at any time".into(),
            };
            return Err(ControlError::NotValidNow { publisher: publisher.clone(), hint: *hint, window });
        }
        let granted: Grants = record.imports.iter().copied().collect();
        let missing = imports.into_iter().filter(|import| !granted.has(*import));
        let missing = missing.map(|import| import.name()).collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(granted);
        }
        let (publisher, granted) = (publisher.clone(), granted.to_string());
        Err(ControlError::NotGranted { publisher, missing: missing.join(","), granted })
    }

    pub(super) fn present(&self, stored: &StoredBundle) -> Option<&StoredBundle> {
        let present = self.bundles.get(&bundle_key(&stored.tenant, &stored.name, &stored.version))?;
        (present.state != BundleState::Deleted).then_some(present)
    }

    /// Checks that a version keeps its contents for ever, that a model belongs to one bundle, and that revoked contents do
    /// not return.
    pub(super) fn check_identity(&self, stored: &StoredBundle) -> Result<(), ControlError> {
        let (name, version) = (&stored.name, &stored.version);
        if let Some(revocation) = self.revoked.get(&stored.digest.to_string()) {
            return Err(ControlError::Revoked { digest: stored.digest, reason: revocation.reason.clone() });
        }
        let present = self.bundles.get(&bundle_key(&stored.tenant, name, version));
        if let Some(present) = present.filter(|present| present.digest != stored.digest) {
            let present = present.digest;
            return Err(ControlError::VersionTaken { name: name.clone(), version: version.clone(), present });
        }
        let other = self.bundles.values().find(|other| {
            let same_model = other.tenant == stored.tenant && other.model.is_some() && other.model == stored.model;
            same_model && other.name != *name && other.state != BundleState::Deleted
        });
        match (other, &stored.model) {
            (Some(other), Some(model)) => {
                Err(ControlError::ModelTaken { model: model.clone(), present: other.name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Chooses the newest version that fits, for each stage of another bundle. The choice holds for as long as this version
    /// exists.
    pub(super) fn choose_stages(
        &self,
        bundle: &Bundle,
        tenant: &str,
        unsigned: bool,
    ) -> Result<BTreeMap<String, Used>, ControlError> {
        let choose = |stage: ExternalStage| {
            let fits = |other: &&StoredBundle| {
                let active = other.tenant == tenant && other.name == stage.bundle && other.state == BundleState::Active;
                active && stage.versions.matches(&other.version) && self.trusted(other, unsigned)
            };
            let newest = self.bundles.values().filter(fits).max_by_key(|other| &other.version);
            let newest = newest.ok_or_else(|| ControlError::NoSuchStage {
                stage: stage.text.clone(),
                bundle: stage.bundle.clone(),
                versions: stage.versions.to_string(),
            })?;
            Ok((stage.text, Used { name: newest.name.clone(), version: newest.version.clone() }))
        };
        bundle.manifest.external_stages().map(choose).collect()
    }
}
