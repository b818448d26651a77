//! Values of the command line: they are checked by the command, before a host is asked, and shells complete those that are
//! one of a few words.

use std::fmt::Display;
use std::str::FromStr;
use std::time::SystemTime;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use semver::Version;
use serde_json::Value;

use crate::activation::parse_version;
use crate::config::{LIMITS, Limit};
use crate::control::Timestamp;
use crate::tenant::{Capability, Role};

/// An import; an empty text is none, so that `''` is an empty list.
pub(super) fn import() -> impl TypedValueParser<Value = Option<Capability>> {
    let nothing = PossibleValue::new("").hide(true);
    let names = Capability::ALL.map(|import| PossibleValue::new(import.name()));
    PossibleValuesParser::new(names.into_iter().chain([nothing])).map(|name| Capability::from_name(&name))
}

pub(super) fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(|name| name.parse::<Role>())
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    parse_version(text)
}

/// A date, or a time from now.
pub(super) fn later(text: &str) -> Result<Timestamp, String> {
    let from_now = humantime::parse_duration(text).ok().and_then(|time| SystemTime::now().checked_add(time));
    from_now.map(Timestamp).map_or_else(|| text.parse(), Ok).map_err(|_: String| {
        format!(
            "\"{text}\" is neither a date, such as 2027-01-31 or 2027-01-31T12:00:00Z, nor a time from now with its unit, such as 90d or 12h"
        )
    })
}

/// A limit of a tenant, `key=value`. A whole number becomes a JSON number, `default` becomes null, which removes the tenant's
/// own limit, and any other value stays text, because its bound depends on the host's configuration.
pub(super) fn limit(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value, such as concurrency=4")?;
    if Limit::named(key).is_none() {
        let known = LIMITS.iter().map(|limit| limit.key).collect::<Vec<_>>().join(", ");
        return Err(format!("there is no limit \"{key}\"; there are: {known}"));
    }
    let value = match (value, value.parse::<u64>()) {
        ("default", _) => Value::Null,
        (_, Ok(number)) => number.into(),
        (text, Err(_)) => text.into(),
    };
    Ok((key.to_owned(), value))
}

/// A version with its weight in a split, `VERSION=WEIGHT`.
pub(super) fn weight(text: &str) -> Result<(Version, u32), String> {
    let (number, weight) = text.split_once('=').ok_or("write VERSION=WEIGHT, such as 1.0.0=90")?;
    Ok((version(number)?, number_of("a weight", weight)?))
}

/// A whole number, as half a sentence says what of.
pub(super) fn number_of<T: FromStr + Display>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not {what}; write a whole number, such as 2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_refused_with_what_to_write() {
        let refusals = [
            (version("v1.0.0").unwrap_err(), "\"v1.0.0\" is not a version; write three numbers"),
            (version("1.0").unwrap_err(), "such as 1.0.0"),
            (later("90").unwrap_err(), "a time from now with its unit, such as 90d"),
            (later("31.1.2027").unwrap_err(), "a date, such as 2027-01-31"),
            (limit("fule=3").unwrap_err(), "there is no limit \"fule\"; there are: call-fuel, "),
            (weight("1.0.0=ten").unwrap_err(), "\"ten\" is not a weight"),
        ];
        for (refusal, wanted) in refusals {
            assert!(refusal.contains(wanted), "{refusal}");
        }
        assert!(later("90d").unwrap() > Timestamp::now());
        assert_eq!(later("2027-01-31"), "2027-01-31".parse());
    }
}
