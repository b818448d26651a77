//! The documents that the host stores. Their field names are a format, which changes only with a migration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use bulkhead_bundle::{Digest, KeyHint};
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::catalog::{Routing, Sharing};
use crate::tenant::{Capability, KeyHash, Role};

/// A moment, written as in RFC 3339, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub SystemTime);

impl Timestamp {
    pub fn now() -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.0).fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Timestamp, String> {
        let whole_day = format!("{text}T00:00:00Z");
        let parsed = humantime::parse_rfc3339_weak(text).or_else(|_| humantime::parse_rfc3339_weak(&whole_day));
        parsed.map(Timestamp).map_err(|_| format!("\"{text}\" is not a time; write 2027-01-31 or 2027-01-31T12:00:00Z"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A trusted publisher: its keys, the names of its bundles, and the capabilities that its plugins may be granted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Publisher {
    pub keys: Vec<TrustedKey>,
    /// Names of bundles that it may publish: `acme/*`, or one name in full.
    pub names: BTreeSet<String>,
    pub imports: BTreeSet<Capability>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrustedKey {
    pub hint: KeyHint,
    pub pem: String,
    pub added: Timestamp,
    /// Bundles that are uploaded outside of the window from `not_before` to `not_after` are refused. Bundles that were
    /// uploaded inside it stay valid.
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
}

/// A version of a bundle in a tenant's namespace. Its digest never changes, even after the bundle was deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredBundle {
    pub tenant: String,
    pub name: String,
    pub version: Version,
    pub digest: Digest,
    /// The name that clients use. A bundle without a pipeline has none, and only lends its plugins to others.
    pub model: Option<String>,
    /// The key that signed it; none if it was accepted unsigned, under `serve --dev`.
    pub key: Option<KeyHint>,
    pub files: BTreeMap<String, StoredFile>,
    pub bytes: u64,
    pub uploaded: Timestamp,
    pub by: String,
    pub state: BundleState,
    /// The bundles from which its stages take plugins, by the stage's text in the manifest, in the versions that were
    /// chosen when it was uploaded.
    #[serde(default)]
    pub uses: BTreeMap<String, Used>,
    /// The imports that its own plugins ask for; none if an earlier version of this program stored it and its manifest was
    /// not read since.
    #[serde(default)]
    pub imports: Option<BTreeSet<Capability>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredFile {
    pub digest: Digest,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleState {
    Active,
    /// Its files are kept, but it is not served.
    Retired,
    /// Its files are removed, but the record of its version stays.
    Deleted,
}

/// A version of another bundle of the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Used {
    pub name: String,
    pub version: Version,
}

/// Contents that may never be served again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Revocation {
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
}

/// The settings by which a tenant's model is served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelSettings {
    #[serde(default)]
    pub routing: Routing,
    #[serde(default)]
    pub sharing: Sharing,
    #[serde(default)]
    pub policy: Policy,
    /// The versions that served requests without a version, the latest last; rollback returns to them.
    #[serde(default)]
    pub served: Vec<Version>,
}

/// The policy that selects the active versions of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    #[default]
    All,
    /// This many of the newest versions, and the pre-releases after the oldest of them: a pre-release must not take the
    /// place of the version that it prepares to replace.
    Latest(usize),
    Specific(BTreeSet<Version>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantRecord {
    pub created: Timestamp,
    #[serde(default)]
    pub disabled: bool,
    /// The limits that this tenant was given of its own, with the keys and units of the configuration.
    #[serde(default)]
    pub limits: serde_json::Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub tenant: String,
    pub role: Role,
    pub hash: KeyHash,
    #[serde(default)]
    pub note: String,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
}

impl Publisher {
    /// True if the publisher is granted all imports that a bundle asks for. Imports that are not known, because the manifest
    /// cannot be read, are not granted.
    pub fn grants(&self, bundle: &StoredBundle) -> bool {
        let known = bundle.imports.is_some() || bundle.state == BundleState::Deleted;
        known && self.lacks(bundle).next().is_none()
    }

    /// The imports that a bundle asks for and the publisher is not granted.
    pub fn lacks<'a>(&'a self, bundle: &'a StoredBundle) -> impl Iterator<Item = Capability> + 'a {
        bundle.imports.iter().flatten().copied().filter(|import| !self.imports.contains(import))
    }

    /// True if the publisher may publish under a name.
    pub fn owns(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| match pattern.strip_suffix("/*") {
            Some(publisher) => name.split_once('/').is_some_and(|(of, _)| of == publisher),
            None => pattern == name,
        })
    }
}

impl TrustedKey {
    pub fn valid_at(&self, moment: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= moment) && self.not_after.is_none_or(|until| moment <= until)
    }
}

impl Policy {
    /// The versions among these that are active.
    pub fn choose<'a>(&self, versions: impl Iterator<Item = &'a Version>) -> BTreeSet<&'a Version> {
        let all: BTreeSet<&Version> = versions.collect();
        match self {
            Policy::All => all,
            Policy::Latest(number) => {
                let releases = all.iter().rev().filter(|version| version.pre.is_empty());
                let oldest = number.checked_sub(1).and_then(|others| releases.clone().nth(others)).copied();
                all.into_iter().filter(|version| oldest.is_none_or(|oldest| *version >= oldest)).collect()
            }
            Policy::Specific(chosen) => all.into_iter().filter(|version| chosen.contains(version)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_owns_what_is_under_its_names() {
        let publisher = |names: &[&str]| Publisher {
            names: names.iter().map(|name| name.to_string()).collect(),
            ..Publisher::default()
        };
        assert!(publisher(&["acme/*"]).owns("acme/digits"));
        assert!(!publisher(&["acme/*"]).owns("acmes/digits"));
        assert!(!publisher(&["acme/*"]).owns("acme"));
        assert!(publisher(&["other/x"]).owns("other/x"));
        assert!(!publisher(&["other/x"]).owns("other/xy"));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let time: Timestamp = "2027-01-31".parse().unwrap();
        assert_eq!(time.to_string(), "2027-01-31T00:00:00Z");
        assert_eq!("2027-01-31T00:00:00Z".parse(), Ok(time));
        assert!("tomorrow".parse::<Timestamp>().is_err());
    }

    #[test]
    fn policies_choose_the_active_versions() {
        let versions = [Version::new(1, 0, 0), Version::new(2, 0, 0), Version::new(10, 0, 0)];
        let chosen = |policy: Policy| policy.choose(versions.iter()).len();
        assert_eq!(chosen(Policy::All), 3);
        assert_eq!(Policy::Latest(1).choose(versions.iter()).first(), Some(&&versions[2]));
        assert_eq!(chosen(Policy::Specific([versions[0].clone(), Version::new(3, 0, 0)].into())), 1);
    }

    #[test]
    fn a_pre_release_takes_no_release_out_of_a_policy() {
        let versions: Vec<Version> =
            ["1.0.0", "2.0.0-rc.1", "2.0.0", "2.1.0-rc.1"].map(|text| text.parse().unwrap()).into();
        let chosen = |policy: &Policy, of: &[Version]| {
            policy.choose(of.iter()).into_iter().map(Version::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(chosen(&Policy::Latest(1), &versions), "2.0.0 2.1.0-rc.1");
        assert_eq!(chosen(&Policy::Latest(2), &versions), "1.0.0 2.0.0-rc.1 2.0.0 2.1.0-rc.1");
        assert_eq!(chosen(&Policy::Latest(1), &versions[1..2]), "2.0.0-rc.1");
    }
}
