//! Key hints, by which a signature names its key.

use std::fmt;
use std::str::FromStr;

use bulkhead_digest::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Identifies a key: the SHA-256 of its public key as PEM text, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHint(Digest);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key hint is written as 64 digits of 0-9 and a-f")]
pub struct ParseKeyHintError;

impl KeyHint {
    pub(crate) fn of(pem: &str) -> KeyHint {
        KeyHint(Digest::of(pem))
    }
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::Debug for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyHint {
    type Err = ParseKeyHintError;

    fn from_str(text: &str) -> Result<KeyHint, ParseKeyHintError> {
        Digest::from_hex(text).map(KeyHint).ok_or(ParseKeyHintError)
    }
}

impl Serialize for KeyHint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyHint, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
