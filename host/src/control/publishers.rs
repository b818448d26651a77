//! Publishers: the keys whose signatures are accepted, the bundle names and imports that each publisher may use, and the
//! revocation of keys and bundles.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_bundle::{Digest, KeyHint, PublicKey};
use serde::Deserialize;
use utoipa::ToSchema;

use super::models::forget_routes;
use super::records::{BundleState, Publisher, Revocation, StoredBundle, Timestamp, TrustedKey};
use super::state::{ControlState, bundle_key};
use super::{Actor, BlockingControl, Control, ControlError};
use crate::tenant::Capability;

/// Creates a publisher, or changes the given fields of an existing one.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustRequest {
    /// A public key as PEM text, in addition to the present keys.
    pub key: Option<String>,
    #[schema(value_type = Option<String>)]
    pub not_before: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    pub not_after: Option<Timestamp>,
    /// Names of bundles, in place of the present ones: `acme/*`, or one name in full. A new publisher has all names under
    /// its own.
    #[schema(value_type = Option<Vec<String>>)]
    pub names: Option<BTreeSet<String>>,
    /// Capabilities that its plugins may be granted, in place of the present ones. A new publisher has none.
    #[schema(value_type = Option<Vec<String>>)]
    pub imports: Option<BTreeSet<Capability>>,
}

impl BlockingControl {
    pub fn trust(&self, who: &Actor, name: &str, request: TrustRequest) -> Result<Publisher, ControlError> {
        check_name("publisher", name)?;
        self.commit(who, "publisher trust", name, |state, change| {
            let before = state.publishers.get(name);
            let mut publisher = before.cloned().unwrap_or_default();
            if publisher.names.is_empty() {
                publisher.names.insert(format!("{name}/*"));
            }
            if let Some(names) = request.names {
                names.iter().try_for_each(|pattern| check_pattern(pattern))?;
                publisher.names = names;
            }
            publisher.imports = request.imports.unwrap_or(publisher.imports);
            if let Some(pem) = &request.key {
                let key = PublicKey::from_pem(pem)?;
                refuse_revoked(state, &key.hint())?;
                publisher.add_key(&key, request.not_before, request.not_after);
            }
            if request.key.is_none() && (request.not_before.is_some() || request.not_after.is_some()) {
                return Err(ControlError::Invalid("a validity window belongs to a key: give the key with it".into()));
            }
            if !publisher.keys.iter().any(|key| key.revoked.is_none()) {
                return Err(ControlError::Invalid(format!("publisher \"{name}\" is new and needs a key")));
            }
            change.audit(&before, &publisher);
            change.put(name, publisher.clone());
            Ok(publisher)
        })
    }

    /// Revokes a key. Bundles that it signed stop serving at once, and its signatures are not accepted again, under any
    /// publisher.
    pub fn revoke_key(&self, who: &Actor, name: &str, hint: &KeyHint) -> Result<Publisher, ControlError> {
        self.commit(who, "publisher revoke", name, |state, change| {
            let before = find_publisher(state, name)?;
            if !before.keys.iter().any(|key| key.hint == *hint) {
                return Err(ControlError::no_such("key", hint.to_string()));
            }
            for (name, publisher) in &state.publishers {
                if let Some(revoked) = publisher.without_key(hint) {
                    change.put(name, revoked);
                }
            }
            let publisher = before.without_key(hint).unwrap_or_else(|| before.clone());
            change.audit(before, &publisher);
            Ok(publisher)
        })
    }

    /// Removes a publisher, except for its revoked keys, which cannot return. The bundles that it published stop serving at
    /// once.
    pub fn distrust(&self, who: &Actor, name: &str) -> Result<(), ControlError> {
        self.commit(who, "publisher remove", name, |state, change| {
            let before = find_publisher(state, name)?;
            let revoked = before.keys.iter().filter(|key| key.revoked.is_some()).cloned().collect::<Vec<_>>();
            change.audit(before, &());
            match revoked.is_empty() {
                true => change.remove::<Publisher>(name),
                false => change.put(name, Publisher { keys: revoked, ..Publisher::default() }),
            }
            Ok(())
        })
    }

    pub fn publishers(&self) -> BTreeMap<String, Publisher> {
        self.read(|state| state.publishers.clone())
    }

    /// Revokes contents by their digest. They stop serving at once, in every tenant, and cannot return.
    pub fn revoke_bundle(&self, who: &Actor, digest: &Digest, reason: &str) -> Result<(), ControlError> {
        let key = digest.to_string();
        self.commit(who, "bundle revoke", &key, |state, change| {
            if state.revoked.contains_key(&key) {
                return Ok(());
            }
            let reason = crate::config::clip(reason.into());
            let revocation = Revocation { at: Timestamp::now(), by: who.to_string(), reason };
            change.audit(&(), &revocation);
            change.put(&key, revocation);
            Ok(())
        })
    }

    /// Removes a bundle's files. The record of its version stays.
    pub fn delete_bundle(&self, who: &Actor, tenant: &str, digest: &Digest) -> Result<(), ControlError> {
        let mut files = Vec::new();
        self.commit(who, "bundle delete", &format!("{digest} of tenant {tenant}"), |state, change| {
            for (key, stored) in find_bundles(state, tenant, digest)? {
                refuse_if_used(state, stored)?;
                let deleted = StoredBundle { state: BundleState::Deleted, ..stored.clone() };
                change.audit(&stored.state, &deleted.state);
                files.extend(stored.files.values().map(|file| file.digest));
                change.put(key, deleted);
                if let Some(model) = &stored.model {
                    forget_routes(state, change, tenant, model, &stored.version);
                }
            }
            Ok(())
        })?;
        self.remove_unneeded(&files);
        Ok(())
    }

    /// The bundles of one tenant or of all tenants, each with the reason why it may not be served, if there is one.
    pub fn bundles(&self, tenant: Option<&str>) -> Vec<(StoredBundle, Option<String>)> {
        self.read(|state| {
            let some = state.bundles.values().filter(|bundle| tenant.is_none_or(|tenant| bundle.tenant == tenant));
            some.map(|bundle| (bundle.clone(), self.why_not(state, bundle))).collect()
        })
    }
}

impl Control {
    pub(super) fn why_not(&self, state: &ControlState, bundle: &StoredBundle) -> Option<String> {
        if let Some(revocation) = state.revoked.get(&bundle.digest.to_string()) {
            return Some(format!("revoked: {}", revocation.reason));
        }
        (!state.trusted(bundle, self.dev)).then(|| match bundle.key {
            None => "unsigned: it was uploaded under serve --dev".into(),
            Some(key) if state.signer(bundle).is_none() => format!("key {key} is not trusted for it, or was revoked"),
            Some(_) => "a bundle that it takes stages from was revoked or deleted".into(),
        })
    }
}

impl Publisher {
    /// The publisher after a key is revoked; `None` if it does not have the key, or if the key was revoked before.
    fn without_key(&self, hint: &KeyHint) -> Option<Publisher> {
        let mut publisher = self.clone();
        let key = publisher.keys.iter_mut().find(|key| key.hint == *hint && key.revoked.is_none())?;
        key.revoked = Some(Timestamp::now());
        Some(publisher)
    }

    fn add_key(&mut self, key: &PublicKey, not_before: Option<Timestamp>, not_after: Option<Timestamp>) {
        let hint = key.hint();
        match self.keys.iter_mut().find(|known| known.hint == hint) {
            Some(known) => (known.not_before, known.not_after) = (not_before, not_after),
            None => {
                let (added, pem) = (Timestamp::now(), key.to_pem().to_owned());
                self.keys.push(TrustedKey { hint, pem, added, not_before, not_after, revoked: None });
            }
        }
    }
}

fn refuse_revoked(state: &ControlState, hint: &KeyHint) -> Result<(), ControlError> {
    let mut keys = state.publishers.values().flat_map(|publisher| &publisher.keys);
    match keys.any(|key| key.hint == *hint && key.revoked.is_some()) {
        false => Ok(()),
        true => Err(ControlError::Invalid(format!("key {hint} was revoked and cannot return; make a new one"))),
    }
}

fn find_publisher<'a>(state: &'a ControlState, name: &str) -> Result<&'a Publisher, ControlError> {
    state.publishers.get(name).ok_or_else(|| ControlError::no_such("publisher", name))
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

/// Checks that a name has 1 to 64 lowercase letters, digits and dashes: names appear in URLs, log lines and metrics.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), ControlError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    let name = crate::config::clip(name.to_owned());
    Err(ControlError::Invalid(format!(
        "the {what}'s name \"{name}\" must have 1 to 64 lowercase letters, digits or dashes"
    )))
}

fn check_pattern(pattern: &str) -> Result<(), ControlError> {
    let (publisher, bundle) = pattern.split_once('/').unwrap_or((pattern, ""));
    check_name("publisher", publisher)?;
    if bundle == "*" { Ok(()) } else { check_name("bundle", bundle) }
}
