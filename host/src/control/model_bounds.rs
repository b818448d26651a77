//! Bounds on the settings of a model.

use std::collections::BTreeSet;

use super::ControlError;
use super::records::Policy;
use crate::catalog::{Routing, Shadow, Split, Sticky};

/// Bound on a model's labels, on the versions of its split, and on those of its policy. The settings of a model are one
/// document, and each act on the model writes it whole into the audit log, as it was before and as it is after.
const NAMED: usize = 100;

/// Bound on the bytes of a version or of a header's name in the settings, for the same reason.
const NAME_BYTES: usize = 128;

/// Checks a model's labels after one was set.
pub(super) fn check_labels(routing: &Routing) -> Result<(), ControlError> {
    check_number("labels of a model", routing.labels.len())
}

pub(super) fn check_policy(policy: &Policy) -> Result<(), ControlError> {
    if *policy == Policy::Latest(0) || *policy == Policy::Specific(BTreeSet::new()) {
        return Err(ControlError::Invalid("the policy keeps no version at all; use retire for that".into()));
    }
    if let Policy::Specific(versions) = policy {
        check_number("versions of a policy", versions.len())?;
        versions.iter().try_for_each(|version| check_length("a version", &version.to_string()))?;
    }
    Ok(())
}

pub(super) fn check_shadow(shadow: &Shadow) -> Result<(), ControlError> {
    if (1..=100).contains(&shadow.percent) {
        return Ok(());
    }
    Err(ControlError::Invalid("percent must be from 1 to 100".into()))
}

pub(super) fn check_split(split: &Split) -> Result<(), ControlError> {
    check_number("versions of a split", split.weights.len())?;
    if let Sticky::Header(name) = &split.sticky {
        check_length("the header's name", name)?;
    }
    let total: u64 = split.weights.values().map(|weight| u64::from(*weight)).sum();
    if split.weights.len() < 2 || total == 0 || total > 1_000_000 {
        let text = "a split needs two versions or more, and the sum of their weights must be from 1 to 1,000,000";
        return Err(ControlError::Invalid(text.into()));
    }
    Ok(())
}

/// Checks the number of versions or labels that a model's settings name.
fn check_number(what: &str, number: usize) -> Result<(), ControlError> {
    if number <= NAMED {
        return Ok(());
    }
    Err(ControlError::Invalid(format!("{number} {what} are too many: there may be {NAMED}; leave some out")))
}

/// Checks the length of a version or of a header's name.
fn check_length(what: &str, text: &str) -> Result<(), ControlError> {
    if text.len() <= NAME_BYTES {
        return Ok(());
    }
    let bytes = text.len();
    Err(ControlError::Invalid(format!("{what} has {bytes} bytes, and may have {NAME_BYTES}; give a shorter one")))
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;

    fn versions(number: u64) -> impl Iterator<Item = Version> {
        (0..number).map(|major| Version::new(major, 0, 0))
    }

    #[test]
    fn settings_that_name_too_much_are_refused_with_the_bound() {
        let split =
            |number| Split { weights: versions(number).map(|version| (version, 1)).collect(), sticky: Sticky::Nothing };
        assert!(check_split(&split(100)).is_ok());
        let refused = check_split(&split(101)).unwrap_err().to_string();
        assert_eq!(refused, "101 versions of a split are too many: there may be 100; leave some out");
        let sticky = |bytes| Split { sticky: Sticky::Header("x".repeat(bytes)), ..split(2) };
        assert!(check_split(&sticky(128)).is_ok());
        let refused = check_split(&sticky(129)).unwrap_err().to_string();
        assert_eq!(refused, "the header's name has 129 bytes, and may have 128; give a shorter one");
    }

    #[test]
    fn a_policy_names_some_versions_but_not_too_many() {
        let specific = |number| check_policy(&Policy::Specific(versions(number).collect()));
        assert!(specific(100).is_ok());
        let refused = specific(101).unwrap_err().to_string();
        assert_eq!(refused, "101 versions of a policy are too many: there may be 100; leave some out");
        assert!(specific(0).is_err() && check_policy(&Policy::Latest(0)).is_err());
        let long = Version::parse(&format!("1.0.0-{}", "x".repeat(123))).unwrap();
        let refused = check_policy(&Policy::Specific([long].into())).unwrap_err().to_string();
        assert_eq!(refused, "a version has 129 bytes, and may have 128; give a shorter one");
    }

    #[test]
    fn a_model_has_a_bounded_number_of_labels() {
        let labels = |number| Routing {
            labels: versions(number).map(|version| (format!("l{}", version.major), version)).collect(),
            ..Routing::default()
        };
        assert!(check_labels(&labels(100)).is_ok());
        let refused = check_labels(&labels(101)).unwrap_err().to_string();
        assert_eq!(refused, "101 labels of a model are too many: there may be 100; leave some out");
    }
}
