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
    /// The window of the key. A bound that is not given stays as it is, and one that is given as `None` is removed.
    pub not_before: Option<Option<Timestamp>>,
    pub not_after: Option<Option<Timestamp>>,
    /// Names of bundles, in place of the present ones: `acme/*`, or one name in full. A new publisher has all names under
    /// its own.
    pub names: Option<BTreeSet<String>>,
    /// Names in addition to the present ones.
    pub add_names: BTreeSet<String>,
    /// Capabilities that its plugins may be granted, in place of the present ones. A new publisher has none.
    pub imports: Option<BTreeSet<Capability>>,
    /// Capabilities in addition to the present ones.
    pub add_imports: BTreeSet<Capability>,
    /// Stops the versions that are served now and that the narrower trust no longer covers. Without it, such a request is
    /// refused.
    pub stop: bool,
}

/// Bound on the versions that a refusal lists.
const LISTED: usize = 10;

impl BlockingControl {
    pub fn trust(&self, who: &Actor, name: &str, request: TrustRequest) -> Result<Publisher, ControlError> {
        check_name("publisher", name)?;
        self.commit(who, "publisher trust", name, |state, change| {
            let before = state.publishers.get(name);
            let mut publisher = before.cloned().unwrap_or_default();
            publisher.apply(name, &request)?;
            if let Some(pem) = &request.key {
                let key = PublicKey::from_pem(pem)?;
                refuse_revoked(state, &key.hint())?;
                publisher.set_key(&key, request.not_before, request.not_after)?;
            }
            if !publisher.keys.iter().any(|key| key.revoked.is_none()) {
                let why = if before.is_some() { "has only keys that were revoked" } else { "is new" };
                return Err(ControlError::Invalid(format!("publisher \"{name}\" {why} and needs a key")));
            }
            let stops = self.stopped_by(state, name, &publisher);
            if !stops.is_empty() && !request.stop {
                return Err(ControlError::WouldStop { stops: list(&stops) });
            }
            change.revokes = !stops.is_empty() || before.is_some_and(|before| publisher.is_narrower_than(before));
            change.audit(&before, &publisher);
            change.put(name, publisher.clone());
            Ok(publisher)
        })
    }

    /// The versions that are served, and would not be if the publisher became this one, each with the reason.
    fn stopped_by(&self, state: &ControlState, name: &str, publisher: &Publisher) -> Vec<String> {
        let mut after = state.clone();
        after.publishers.insert(name.to_owned(), publisher.clone());
        let kept = after.wanted(self.dev);
        let stopped = state.wanted(self.dev).into_iter().filter(|key| !kept.contains(key));
        let describe = |key: String| {
            let bundle = state.bundles.get(&key)?;
            // A version that only the model's policy leaves out does not stop for want of trust.
            let reason = after.why_not(bundle, self.dev)?;
            Some(format!("{} {} of tenant {} ({reason})", bundle.name, bundle.version, bundle.tenant))
        };
        stopped.filter_map(describe).collect()
    }

    /// Revokes a key. Bundles that it signed stop serving at once, and its signatures are not accepted again, under any
    /// publisher.
    pub fn revoke_key(&self, who: &Actor, name: &str, hint: &KeyHint) -> Result<Publisher, ControlError> {
        self.commit(who, "publisher revoke", name, |state, change| {
            let before = find_publisher(state, name)?;
            if !before.keys.iter().any(|key| key.hint == *hint) {
                let of = format!("publisher \"{name}\"");
                return Err(ControlError::NoSuchOf { what: "key", name: hint.to_string(), of });
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

    /// Sets the names and imports that a request gives, or adds them.
    fn apply(&mut self, name: &str, request: &TrustRequest) -> Result<(), ControlError> {
        if self.names.is_empty() {
            self.names.insert(format!("{name}/*"));
        }
        request.names.iter().flatten().chain(&request.add_names).try_for_each(|pattern| check_pattern(pattern))?;
        if let Some(names) = &request.names {
            self.names.clone_from(names);
        }
        self.names.extend(request.add_names.iter().cloned());
        if let Some(imports) = &request.imports {
            self.imports.clone_from(imports);
        }
        self.imports.extend(&request.add_imports);
        if request.key.is_none() && (request.not_before.is_some() || request.not_after.is_some()) {
            return Err(ControlError::Invalid("a validity window belongs to a key: give the key with it".into()));
        }
        Ok(())
    }

    fn is_narrower_than(&self, before: &Publisher) -> bool {
        !before.names.is_subset(&self.names) || !before.imports.is_subset(&self.imports)
    }

    /// Adds a key, or changes the window of a known one.
    fn set_key(
        &mut self,
        key: &PublicKey,
        not_before: Option<Option<Timestamp>>,
        not_after: Option<Option<Timestamp>>,
    ) -> Result<(), ControlError> {
        let hint = key.hint();
        let place = self.keys.iter().position(|known| known.hint == hint).unwrap_or_else(|| {
            let (added, pem) = (Timestamp::now(), key.to_pem().to_owned());
            self.keys.push(TrustedKey { hint, pem, added, not_before: None, not_after: None, revoked: None });
            self.keys.len() - 1
        });
        let known = &mut self.keys[place];
        known.not_before = not_before.unwrap_or(known.not_before);
        known.not_after = not_after.unwrap_or(known.not_after);
        match (known.not_before, known.not_after) {
            (Some(from), Some(until)) if from >= until => Err(ControlError::Invalid(format!(
                "the key would be valid from {from} until {until}, which is never; let the end be after the beginning"
            ))),
            _ => Ok(()),
        }
    }
}

fn list(stops: &[String]) -> String {
    let more = stops.len().saturating_sub(LISTED);
    let shown = stops.iter().take(LISTED).cloned().collect::<Vec<_>>().join("; ");
    if more == 0 { shown } else { format!("{shown}; and {more} more") }
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
