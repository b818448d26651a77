//! SHA-256 digests of contents and of keys, with one canonical text form each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "sha256:";

/// SHA-256 of some bytes, written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Identifies a key: the SHA-256 of its public key as PEM text, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHint([u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    #[error("a digest is written sha256: and then 64 digits of 0-9 and a-f")]
    Digest,
    #[error("a key hint is written as 64 digits of 0-9 and a-f")]
    KeyHint,
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of several pieces, concatenated.
    pub(crate) fn of_all<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> Digest {
        let mut hash = Sha256::new();
        for piece in pieces {
            hash.update(piece);
        }
        Digest(hash.finalize().into())
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hexadecimal digits without the prefix.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Digest> {
        from_hex(text).map(Digest)
    }
}

impl KeyHint {
    pub(crate) fn of(pem: &str) -> KeyHint {
        KeyHint(Sha256::digest(pem).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.hex())
    }
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Digest, ParseDigestError> {
        text.strip_prefix(ALGORITHM).and_then(Digest::from_hex).ok_or(ParseDigestError::Digest)
    }
}

impl FromStr for KeyHint {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<KeyHint, ParseDigestError> {
        from_hex(text).map(KeyHint).ok_or(ParseDigestError::KeyHint)
    }
}

/// Implements `Debug`, `Serialize` and `Deserialize` by the text form of a type.
macro_rules! as_text {
    ($type:ty) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Digest);
as_text!(KeyHint);

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Accepts lowercase digits only, so that a digest has one text form.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{ABC}\"")).unwrap(), digest);
        assert_eq!(Digest::of_all(["a", "bc"]), digest);
    }

    #[test]
    fn no_other_text_is_a_digest() {
        for wrong in [
            ABC[7..].to_owned(),
            ABC.to_uppercase(),
            ABC.replace("ba78", "BA78"),
            ABC.replace("sha256", "sha512"),
            format!("{ABC}0"),
            ABC[..70].to_owned(),
            ABC.replace('f', "g"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<Digest>(), Err(ParseDigestError::Digest), "{wrong}");
        }
    }
}
