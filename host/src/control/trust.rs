//! Trust in a bundle: the choice of the publisher whose key and rights it rests on, and the reason if it may not be served.

use bulkhead_bundle::KeyHint;

use super::records::{BundleState, Publisher, Revocation, StoredBundle, TrustedKey};
use super::state::{ControlState, bundle_key};

/// A publisher, with the key of it that signed a bundle.
pub(super) type Signer<'a> = (&'a String, &'a Publisher, &'a TrustedKey);

impl ControlState {
    /// The publishers that have a key, if it was not revoked.
    pub(super) fn with_key(&self, hint: KeyHint) -> impl DoubleEndedIterator<Item = Signer<'_>> {
        self.publishers.iter().filter_map(move |(name, publisher)| {
            let key = publisher.keys.iter().find(|key| key.hint == hint && key.revoked.is_none())?;
            Some((name, publisher, key))
        })
    }

    /// The publisher that a bundle rests on. Several may have the same key: the first one counts that may publish under the
    /// bundle's name and meets the condition, or else the first one that may publish under the name, or else the first one.
    /// An upload and what follows from it make the same choice.
    pub(super) fn publisher_of(
        &self,
        hint: KeyHint,
        name: &str,
        meets: impl Fn(&Signer) -> bool,
    ) -> Option<Signer<'_>> {
        // The last of equals counts, so the order is reversed.
        let signers = self.with_key(hint).rev();
        signers.max_by_key(|signer| {
            let owns = signer.1.owns(name);
            (owns, owns && meets(signer))
        })
    }

    /// The key by which a bundle was accepted, and its publisher, as long as both are trusted.
    pub(super) fn signer(&self, bundle: &StoredBundle) -> Option<Signer<'_>> {
        let signer = self.publisher_of(bundle.key?, &bundle.name, |(_, publisher, _)| publisher.grants(bundle));
        signer.filter(|(_, publisher, _)| publisher.owns(&bundle.name))
    }

    /// True if a bundle may be served.
    pub(super) fn trusted(&self, bundle: &StoredBundle, unsigned: bool) -> bool {
        self.why_not(bundle, unsigned).is_none()
    }

    /// The reason why a bundle may not be served; none if it may: it is trusted itself, and every bundle that it takes stages
    /// from is trusted and not deleted. Unsigned bundles are trusted only if `unsigned` is set.
    pub(super) fn why_not(&self, bundle: &StoredBundle, unsigned: bool) -> Option<String> {
        let why_not_used = || {
            bundle.uses.values().find_map(|used| {
                let found = self.bundles.get(&bundle_key(&bundle.tenant, &used.name, &used.version));
                let reason = match found.filter(|found| found.state != BundleState::Deleted) {
                    Some(found) => self.why_not_itself(found, unsigned)?,
                    None => "deleted".into(),
                };
                Some(format!("it takes stages from {} {}, which may not be served: {reason}", used.name, used.version))
            })
        };
        self.why_not_itself(bundle, unsigned).or_else(why_not_used)
    }

    /// The reason why the bundle's own plugins may not run. Bundles that it takes stages from are not followed: it lends only
    /// its own files, and bundles that use each other would be followed without end.
    fn why_not_itself(&self, bundle: &StoredBundle, unsigned: bool) -> Option<String> {
        if let Some(revocation) = self.revoked.get(&bundle.digest.to_string()) {
            return Some(revocation.to_string());
        }
        let Some(hint) = bundle.key else {
            return (!unsigned).then(|| "unsigned: it was uploaded under serve --dev".into());
        };
        match self.signer(bundle) {
            None => Some(self.why_no_signer(hint, &bundle.name)),
            Some((_, publisher, _)) if bundle.imports.is_none() && !publisher.grants(bundle) => {
                let unknown = "its manifest cannot be read, so it is not known which imports it asks for";
                Some(format!("{unknown}: restore the file in the data folder, and restart the host"))
            }
            Some((name, publisher, _)) => {
                let lacks = publisher.lacks(bundle).map(|import| import.name()).collect::<Vec<_>>();
                (!lacks.is_empty()).then(|| {
                    let lacks = lacks.join(", ");
                    format!("it asks for the imports {lacks}, which publisher \"{name}\" is not granted any more")
                })
            }
        }
    }

    fn why_no_signer(&self, hint: KeyHint, name: &str) -> String {
        if let Some((publisher, ..)) = self.with_key(hint).next() {
            return format!("publisher \"{publisher}\", whose key signed it, may not publish {name} any more");
        }
        let revoked =
            |publisher: &Publisher| publisher.keys.iter().filter(|key| key.hint == hint).find_map(|key| key.revoked);
        match self.publishers.iter().find_map(|(name, publisher)| Some((name, revoked(publisher)?))) {
            Some((publisher, at)) => {
                format!("the key that signed it, {hint} of publisher \"{publisher}\", was revoked at {at}")
            }
            None => format!("no publisher is trusted any more that has the key which signed it, {hint}"),
        }
    }
}

impl std::fmt::Display for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.reason {
            "" => f.write_str("revoked"),
            reason => write!(f, "revoked: {reason}"),
        }
    }
}
