//! Which version answers a request that names none, or a label.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The label that a request without a version goes to, where there is one.
pub const STABLE: &str = "stable";

/// How requests find their version. An operator changes it as a whole, so that no request sees half of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Routing {
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: BTreeMap<String, Version>,
    #[serde(default)]
    pub split: Option<Split>,
    #[serde(default)]
    pub shadow: Option<Shadow>,
}

impl Routing {
    /// The versions that some request is sent to by name.
    pub fn named(&self) -> impl Iterator<Item = &Version> {
        let split = self.split.iter().flat_map(|split| split.weights.keys());
        self.labels.values().chain(split).chain(self.shadow.iter().map(|shadow| &shadow.version))
    }
}

/// Requests without a version are dealt out by weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Split {
    #[schema(value_type = BTreeMap<String, u32>)]
    pub weights: BTreeMap<Version, u32>,
    pub sticky: Sticky,
}

/// What decides where a request of a split goes, so that the same caller stays with the same version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    Tenant,
    /// The value of this request header; requests without it are dealt out one by one.
    Header(String),
    Nothing,
}

/// A version that gets a copy of requests, and whose answers are compared and never returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shadow {
    #[schema(value_type = String)]
    pub version: Version,
    /// Of a hundred requests, how many are copied.
    pub percent: u8,
}

/// What a split may be decided by.
pub struct Traits<'a> {
    pub tenant: &'a str,
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

impl Split {
    pub fn choose(&self, traits: &Traits) -> Option<&Version> {
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
        self.at(number)
    }

    fn at(&self, number: u64) -> Option<&Version> {
        let total: u64 = self.weights.values().map(|weight| u64::from(*weight)).sum();
        let mut left = number.checked_rem(total)?;
        self.weights.iter().find_map(|(version, weight)| {
            let weight = u64::from(*weight);
            if left < weight {
                return Some(version);
            }
            left -= weight;
            None
        })
    }
}

impl Shadow {
    /// Whether this request is copied.
    pub fn wants(&self) -> bool {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        hash(&NEXT.fetch_add(1, Ordering::Relaxed)) % 100 < u64::from(self.percent)
    }
}

/// The same in every process of one build, so that who was sticky stays so over a restart.
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
    fn weights_are_kept_and_callers_stay() {
        let split_by_header = split(Sticky::Header("x-user".into()));
        let second = |split: &Split, header: &dyn Fn(&str) -> Option<String>| {
            split.choose(&Traits { tenant: "a", header }).unwrap().major == 2
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
