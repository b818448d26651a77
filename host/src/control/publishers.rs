//! Whose signatures count, for which names, with which imports; and taking it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_bundle::{Digest, KeyHint, PublicKey};
use serde::Deserialize;

use super::documents::{BundleState, Publisher, Revocation, StoredBundle, Timestamp, TrustedKey};
use super::state::{State, bundle_key};
use super::{Control, ControlError, Who};
use crate::tenant::Capability;

/// Makes a publisher, or changes what is given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRequest {
    /// A public key as PEM text, added to those that are there.
    pub key: Option<String>,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    /// Names of bundles instead of those that are there: `acme/*`, or one in full. At first, all under its own name.
    pub names: Option<BTreeSet<String>>,
    /// What its plugins may be granted, instead of what is there. At first, nothing.
    pub imports: Option<BTreeSet<Capability>>,
}

impl Control {
    pub fn trust(self: &Arc<Self>, who: &Who, name: &str, request: TrustRequest) -> Result<Publisher, ControlError> {
        check_name("publisher", name)?;
        self.act(who, "publisher trust", name, |state, draft| {
            let before = state.publishers.get(name);
            let own = Publisher { names: BTreeSet::from([format!("{name}/*")]), ..Publisher::default() };
            let mut publisher = before.cloned().unwrap_or(own);
            if let Some(names) = request.names {
                names.iter().try_for_each(|pattern| check_pattern(pattern))?;
                publisher.names = names;
            }
            publisher.imports = request.imports.unwrap_or(publisher.imports);
            if let Some(pem) = &request.key {
                let key = PublicKey::from_pem(pem)?;
                let hint = key.hint();
                if state.revoked.contains_key(&hint.to_string()) {
                    let text = format!("key {hint} was revoked and cannot return; make a new one");
                    return Err(ControlError::Invalid(text));
                }
                publisher.add_key(&key, request.not_before, request.not_after);
            }
            if publisher.keys.is_empty() {
                return Err(ControlError::Invalid(format!("publisher \"{name}\" is new and needs a key")));
            }
            draft.note(&before, &publisher);
            draft.put(name, publisher.clone());
            Ok(publisher)
        })
    }

    /// What the key signed stops serving at once, under every name that it was trusted for. It is remembered as revoked
    /// even when its publisher is forgotten: whoever stole it must not return as somebody new.
    pub fn revoke_key(self: &Arc<Self>, who: &Who, name: &str, hint: &KeyHint) -> Result<Publisher, ControlError> {
        self.act(who, "publisher revoke", name, |state, draft| {
            let before = find_publisher(state, name)?;
            if !before.keys.iter().any(|key| key.hint == *hint) {
                return Err(ControlError::no_such("key", hint.to_string()));
            }
            let at = Timestamp::now();
            let after = before.without(hint, at);
            if after == *before {
                return Ok(after);
            }
            for (name, publisher) in &state.publishers {
                let left = publisher.without(hint, at);
                if left != *publisher {
                    draft.put(name, left);
                }
            }
            draft.put(&hint.to_string(), Revocation { at, by: who.to_string(), reason: "a key".into() });
            draft.note(before, &after);
            Ok(after)
        })
    }

    /// Forgets a publisher; what it published stops serving at once.
    pub fn distrust(self: &Arc<Self>, who: &Who, name: &str) -> Result<(), ControlError> {
        self.act(who, "publisher remove", name, |state, draft| {
            draft.note(find_publisher(state, name)?, &());
            draft.remove::<Publisher>(name);
            Ok(())
        })
    }

    pub fn publishers(&self) -> BTreeMap<String, Publisher> {
        self.look(|state| state.publishers.clone())
    }

    /// Contents with this digest stop serving at once, in every tenant, and cannot return.
    pub fn revoke_bundle(self: &Arc<Self>, who: &Who, digest: &Digest, reason: &str) -> Result<(), ControlError> {
        let key = digest.to_string();
        self.act(who, "bundle revoke", &key, |state, draft| {
            if state.revoked.contains_key(&key) {
                return Ok(());
            }
            let revocation = Revocation { at: Timestamp::now(), by: who.to_string(), reason: reason.into() };
            draft.note(&(), &revocation);
            draft.put(&key, revocation);
            Ok(())
        })
    }

    /// Removes a bundle's files. What its version was is remembered.
    pub fn delete_bundle(self: &Arc<Self>, who: &Who, tenant: &str, digest: &Digest) -> Result<(), ControlError> {
        self.act(who, "bundle delete", &format!("{digest} of tenant {tenant}"), |state, draft| {
            for (key, stored) in find_bundles(state, tenant, digest)? {
                refuse_if_used(state, stored)?;
                let deleted = StoredBundle { state: BundleState::Deleted, ..stored.clone() };
                draft.note(&stored.state, &deleted.state);
                draft.put(key, deleted);
            }
            Ok(())
        })?;
        let kept = self.kept();
        self.remove_unneeded_files(&kept)
    }

    /// The bundles of a tenant, or of all, with why they may not be served where that is so.
    pub fn bundles(&self, tenant: Option<&str>) -> Vec<(StoredBundle, Option<String>)> {
        self.look(|state| {
            let some = state.bundles.values().filter(|bundle| tenant.is_none_or(|tenant| bundle.tenant == tenant));
            some.map(|bundle| (bundle.clone(), self.why_not(state, bundle))).collect()
        })
    }

    pub(super) fn why_not(&self, state: &State, bundle: &StoredBundle) -> Option<String> {
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

    /// As it is after a key was revoked.
    fn without(&self, hint: &KeyHint, at: Timestamp) -> Publisher {
        let mut publisher = self.clone();
        for key in publisher.keys.iter_mut().filter(|key| key.hint == *hint) {
            key.revoked = key.revoked.or(Some(at));
        }
        publisher
    }
}

fn find_publisher<'a>(state: &'a State, name: &str) -> Result<&'a Publisher, ControlError> {
    state.publishers.get(name).ok_or_else(|| ControlError::no_such("publisher", name))
}

fn find_bundles<'a>(
    state: &'a State,
    tenant: &str,
    digest: &Digest,
) -> Result<Vec<(&'a String, &'a StoredBundle)>, ControlError> {
    let kept = |bundle: &StoredBundle| bundle.digest == *digest && bundle.state != BundleState::Deleted;
    let found: Vec<_> = state.bundles.iter().filter(|(_, bundle)| bundle.tenant == tenant && kept(bundle)).collect();
    if found.is_empty() { Err(ControlError::no_such("bundle", digest.to_string())) } else { Ok(found) }
}

fn refuse_if_used(state: &State, bundle: &StoredBundle) -> Result<(), ControlError> {
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

/// Names stand in addresses, log lines and metrics: short, and of few characters.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), ControlError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    let name = crate::config::clip(name.to_owned());
    Err(ControlError::Invalid(format!(
        "the {what}'s name \"{name}\" must be of small letters, digits and dashes, 64 at most"
    )))
}

fn check_pattern(pattern: &str) -> Result<(), ControlError> {
    let (publisher, bundle) = pattern.split_once('/').unwrap_or((pattern, ""));
    check_name("publisher", publisher)?;
    if bundle == "*" { Ok(()) } else { check_name("bundle", bundle) }
}
