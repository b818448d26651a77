//! Publishers: the keys whose signatures are accepted, the bundle names and imports that each publisher may use, and the
//! revocation of keys.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_bundle::{KeyHint, PublicKey};

use super::names::{check_name, check_pattern};
use super::records::{Publisher, Timestamp, TrustedKey};
use super::state::ControlState;
use super::{Actor, BlockingControl, ControlError};
use crate::tenant::Capability;

/// Creates a publisher, or changes the given fields of an existing one.
#[derive(Debug, Default)]
pub struct TrustRequest {
    /// A public key as PEM text, in addition to the present keys.
    pub key: Option<String>,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    /// Names of bundles, in place of the present ones: `acme/*`, or one name in full. A new publisher has all names under
    /// its own.
    pub names: Option<BTreeSet<String>>,
    /// Capabilities that its plugins may be granted, in place of the present ones. A new publisher has none.
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
            if let Some(names) = &request.names {
                names.iter().try_for_each(|pattern| check_pattern(pattern))?;
                publisher.names = names.clone();
            }
            if let Some(imports) = &request.imports {
                publisher.imports = imports.clone();
            }
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
            change.revokes = true;
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
            change.revokes = true;
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
