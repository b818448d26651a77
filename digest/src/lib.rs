//! SHA-256 digests: of contents, of keys and of records.
//!
//! A digest has two text forms. `Display`, `FromStr` and serde use `sha256:` and 64 hexadecimal digits; `LowerHex` (`{:x}`),
//! [`Digest::hex`] and [`Digest::from_hex`] use the digits alone, for formats that say elsewhere what they are a digest of.
//! Digests are public, so their comparison does not take constant time.

use std::array::TryFromSliceError;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "sha256:";

/// The SHA-256 of some bytes. The default is 32 zeros, which stands for "no digest" in formats with a fixed length.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Computes the digest of pieces that arrive one after the other, as if they were concatenated.
#[derive(Clone, Default)]
pub struct DigestBuilder(Sha256);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is written sha256: and then 64 digits of 0-9 and a-f")]
pub struct ParseDigestError;

impl Digest {
    pub fn of(bytes: impl AsRef<[u8]>) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of several pieces, concatenated.
    pub fn of_all<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> Digest {
        let mut builder = DigestBuilder::default();
        pieces.into_iter().for_each(|piece| builder.update(piece));
        builder.finish()
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hexadecimal digits without the prefix.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Parses 64 hexadecimal digits without the prefix. Only digits in lower case are accepted, so that a digest has one
    /// text form.
    pub fn from_hex(digits: &str) -> Option<Digest> {
        if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        Some(Digest(bytes))
    }
}

impl DigestBuilder {
    pub fn update(&mut self, piece: impl AsRef<[u8]>) {
        self.0.update(piece);
    }

    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Digest, TryFromSliceError> {
        bytes.try_into().map(Digest)
    }
}

impl fmt::LowerHex for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{self:x}")
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Digest, ParseDigestError> {
        text.strip_prefix(ALGORITHM).and_then(Digest::from_hex).ok_or(ParseDigestError)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_survives_its_text_forms() {
        let digest = Digest::of("abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(format!("{digest:x}"), ABC[7..]);
        assert_eq!(Digest::from_hex(&ABC[7..]), Some(digest));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{ABC}\"")).unwrap(), digest);
        assert_eq!(Digest::try_from(digest.as_ref()).unwrap(), digest);
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
            format!("{ABC}00"),
            ABC[..70].to_owned(),
            ABC.replace('f', "g"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<Digest>(), Err(ParseDigestError), "{wrong}");
        }
    }
}
