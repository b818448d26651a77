//! Routing: the choice of a version for a request that names a label or no version.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use semver::Version;
use serde::{Deserialize, Serialize};

/// Label of the version that answers requests without a version, if a model has the label and no split.
pub const STABLE: &str = "stable";

/// Rules that choose a version for a request. An operator replaces them as a whole, so no request sees half of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    #[serde(default)]
    pub labels: BTreeMap<String, Version>,
    #[serde(default)]
    pub split: Option<Split>,
    #[serde(default)]
    pub shadow: Option<Shadow>,
}

impl Routing {
    /// These rules without the labels, the split and the shadow that send requests to a version.
    pub fn without(mut self, version: &Version) -> Routing {
        self.labels.retain(|_, labelled| labelled != version);
        self.split = self.split.filter(|split| !split.weights.contains_key(version));
        self.shadow = self.shadow.filter(|shadow| shadow.version != *version);
        self
    }

    /// Versions that a label, the split or the shadow names.
    pub fn named(&self) -> impl Iterator<Item = &Version> {
        let split = self.split.iter().flat_map(|split| split.weights.keys());
        self.labels.values().chain(split).chain(self.shadow.iter().map(|shadow| &shadow.version))
    }
}

/// Distribution of requests without a version over versions, by weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    pub weights: BTreeMap<Version, u32>,
    pub sticky: Sticky,
}

/// Property of a request that decides its version in a split, so that the same caller stays with the same version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    Tenant,
    /// The value of this request header; requests without it are distributed one by one.
    Header(String),
    Nothing,
}

/// A version that gets copies of requests; its responses are compared and never returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    pub version: Version,
    /// Percentage of requests that are copied.
    pub percent: u8,
}

/// Properties of a request that can decide its version in a split.
pub struct Traits<'a> {
    pub tenant: &'a str,
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

impl Split {
    /// Chooses one of the versions that are served; `None` if none of them is.
    pub fn choose(&self, traits: &Traits, served: impl Fn(&Version) -> bool) -> Option<&Version> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let decided_by = match &self.sticky {
            Sticky::Tenant => Some(traits.tenant.to_owned()),
            Sticky::Header(name) => (traits.header)(name),
            Sticky::Nothing => None,
        };
        let number = match decided_by {
            Some(text) => hash(&text),
            None => hash(&NEXT.fetch_add(1, Ordering::Relaxed)),
        };
        self.at(number, &served)
    }

    fn at(&self, number: u64, served: &dyn Fn(&Version) -> bool) -> Option<&Version> {
        let weights = self.weights.iter().filter(|(version, _)| served(version));
        let mut weights = weights.map(|(version, weight)| (version, u64::from(*weight)));
        let total: u64 = weights.clone().map(|(_, weight)| weight).sum();
        let mut left = number.checked_rem(total)?;
        weights.find_map(|(version, weight)| {
            if left < weight {
                return Some(version);
            }
            left -= weight;
            None
        })
    }
}

impl Shadow {
    /// True if this request is to be copied; each call decides for one request.
    pub fn wants(&self) -> bool {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        hash(&NEXT.fetch_add(1, Ordering::Relaxed)) % 100 < u64::from(self.percent)
    }
}

/// A hash that is the same in every process of one build, so that sticky callers keep their version over a restart.
fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(sticky: Sticky) -> Split {
        Split { weights: BTreeMap::from([(Version::new(1, 0, 0), 90), (Version::new(2, 0, 0), 10)]), sticky }
    }

    #[test]
    fn weights_are_kept_and_callers_keep_their_version() {
        let split_by_header = split(Sticky::Header("x-user".into()));
        let second = |split: &Split, header: &dyn Fn(&str) -> Option<String>| {
            split.choose(&Traits { tenant: "a", header }, |_| true).unwrap().major == 2
        };
        let users: Vec<String> = (0..1000).map(|user| user.to_string()).collect();
        let chosen = |user: &String| second(&split_by_header, &|_| Some(user.clone()));
        let moved: Vec<bool> = users.iter().map(chosen).collect();
        assert_eq!(moved, users.iter().map(chosen).collect::<Vec<_>>());
        let share = moved.iter().filter(|moved| **moved).count();
        assert!((60..140).contains(&share), "{share}");
        let dealt = (0..1000).filter(|_| second(&split(Sticky::Nothing), &|_| None)).count();
        assert!((60..140).contains(&dealt), "{dealt}");
        let tenants = (0..100).filter(|_| second(&split(Sticky::Tenant), &|_| None)).count();
        assert!(tenants == 0 || tenants == 100, "{tenants}");
    }

    #[test]
    fn a_shadow_copies_its_share() {
        let shadow = |percent| Shadow { version: Version::new(1, 0, 0), percent };
        assert_eq!((0..500).filter(|_| shadow(100).wants()).count(), 500);
        assert_eq!((0..500).filter(|_| shadow(0).wants()).count(), 0);
        assert!((50..450).contains(&(0..500).filter(|_| shadow(50).wants()).count()));
    }
}
