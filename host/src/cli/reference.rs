//! References to what a host stores, as people write them: the first digits of a digest, or a bundle's name and version.

use anyhow::{Result, bail};
use bulkhead_bundle::Digest;
use semver::Version;
use serde_json::Value;

use super::client::{Client, address};
use super::output::{list, rows, short};
use super::values;

/// Fewest digits that stand for a digest. Fewer could match by chance.
const FEWEST: usize = 6;

/// A bundle that a host stores.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reference {
    /// A whole digest, which the host need not have: contents can be revoked before anybody uploads them.
    Digest(String),
    Digits(String),
    Version {
        name: String,
        version: Version,
    },
}

impl Reference {
    pub(super) fn parse(text: &str) -> Result<Reference, String> {
        if let Some((name, version)) = text.split_once('@') {
            return Ok(Reference::Version { name: name.to_owned(), version: values::version(version)? });
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        match format!("sha256:{digits}").parse::<Digest>() {
            Ok(digest) => Ok(Reference::Digest(digest.to_string())),
            Err(_) => Ok(Reference::Digits(first_digits(digits)?)),
        }
    }

    /// The whole digest of the bundle, of those that the tenant has; without a tenant, of all that the token may see.
    pub(super) fn find(&self, client: &Client, tenant: Option<&str>) -> Result<String> {
        if let Reference::Digest(digest) = self {
            return Ok(digest.clone());
        }
        let bundles = client.get(&address(&["bundles"], &[("tenant", tenant)]))?;
        let mut digests: Vec<&str> = rows(&bundles)
            .filter(|bundle| bundle["state"] != "deleted" && self.matches(bundle))
            .filter_map(|bundle| bundle["digest"].as_str())
            .collect();
        digests.sort_unstable();
        digests.dedup();
        match digests[..] {
            [digest] => Ok(digest.to_owned()),
            [] => bail!("there is no bundle {self}; bulkhead bundle list shows what there is"),
            _ => {
                let digests = list(digests.iter().map(|digest| short(&Value::from(*digest))));
                bail!("{self} stands for several bundles, with these digests: {digests}; name one of them")
            }
        }
    }

    fn matches(&self, bundle: &Value) -> bool {
        match self {
            Reference::Version { name, version } => {
                bundle["name"] == **name && bundle["version"] == version.to_string()
            }
            Reference::Digest(digest) => bundle["digest"] == **digest,
            Reference::Digits(digits) => {
                let digest = bundle["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
                digest.is_some_and(|digest| digest.starts_with(digits))
            }
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Version { name, version } => write!(f, "{name}@{version}"),
            Reference::Digest(text) | Reference::Digits(text) => f.write_str(text),
        }
    }
}

/// Checks digits that stand for a digest or a key's hint.
pub(super) fn first_digits(text: &str) -> Result<String, String> {
    if text.len() >= FEWEST && text.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f')) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is neither NAME@VERSION nor a digest, or at least its first {FEWEST} digits (0-9, a-f)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_by_its_version_or_by_digits() {
        let named = Reference::parse("acme/digits@1.0.0").unwrap();
        assert_eq!(named, Reference::Version { name: "acme/digits".into(), version: Version::new(1, 0, 0) });
        let whole = "0123456789abcdef".repeat(4);
        let digest = Reference::Digest(format!("sha256:{whole}"));
        assert_eq!(Reference::parse(&whole), Ok(digest.clone()));
        assert_eq!(Reference::parse(&format!("sha256:{whole}")), Ok(digest));
        assert_eq!(Reference::parse("sha256:0123456"), Ok(Reference::Digits("0123456".into())));
        for wrong in ["01234", "digits", "acme/digits@1", "0123456789ABCDEF"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }
}
