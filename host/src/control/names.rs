//! Names of tenants, publishers, bundles and labels.

use super::ControlError;

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

/// Checks the names of bundles that a publisher may use: `acme/*`, or one name in full.
pub(super) fn check_pattern(pattern: &str) -> Result<(), ControlError> {
    let (publisher, bundle) = pattern.split_once('/').unwrap_or((pattern, ""));
    check_name("publisher", publisher)?;
    if bundle == "*" { Ok(()) } else { check_name("bundle", bundle) }
}

/// Checks a label, which appears in URLs and must not look like a version.
pub(super) fn check_label(label: &str) -> Result<(), ControlError> {
    check_name("label", label)?;
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(ControlError::Invalid(format!("the label \"{label}\" begins with a digit; only versions may")));
    }
    Ok(())
}
