//! Publishers' keys as PEM text: ECDSA over P-256 with SHA-256, or over P-384 with SHA-384.

use std::fmt;

use p256::ecdsa::signature::{Signer, Verifier};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};

use crate::KeyHint;

/// Upper bound on the length of a key file; a longer text is refused.
const MAX_PEM_BYTES: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
}

/// A public key, which verifies signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Public,
    pem: String,
    hint: KeyHint,
}

/// A private key, which signs. It is wiped from memory when dropped.
pub struct SigningKey {
    key: Secret,
    public: PublicKey,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("it is not a key in PEM text: no line -----BEGIN PUBLIC KEY----- or -----BEGIN PRIVATE KEY----- was found")]
    NotPem,
    #[error("it is a private key, and a public key is needed here; never give a private key away")]
    Private,
    #[error("it is a public key, and the private key is needed here")]
    Public,
    #[error("the private key is encrypted: decrypt it first with `openssl pkey -in KEY.pem`")]
    Encrypted,
    #[error("it is not a usable ECDSA key on the curve P-256 or P-384: {0}")]
    Unusable(String),
}

#[derive(Clone, PartialEq, Eq)]
enum Public {
    P256(p256::PublicKey),
    P384(p384::PublicKey),
}

enum Secret {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
}

impl PublicKey {
    pub fn from_pem(pem: &str) -> Result<PublicKey, KeyError> {
        let pem = block(pem)?;
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let key = match p256::PublicKey::from_public_key_pem(pem) {
            Ok(key) => Public::P256(key),
            Err(_) => Public::P384(p384::PublicKey::from_public_key_pem(pem).map_err(unusable)?),
        };
        PublicKey::new(key)
    }

    /// The key in its canonical PEM text, of which [`Self::hint`] is the digest.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    pub fn hint(&self) -> KeyHint {
        self.hint
    }

    pub fn curve(&self) -> Curve {
        match self.key {
            Public::P256(_) => Curve::P256,
            Public::P384(_) => Curve::P384,
        }
    }

    /// True if this key made this signature (in DER) of the message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Public::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| p256::ecdsa::VerifyingKey::from(key).verify(message, &signature).is_ok()),
            Public::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| p384::ecdsa::VerifyingKey::from(key).verify(message, &signature).is_ok()),
        }
    }

    fn new(key: Public) -> Result<PublicKey, KeyError> {
        let pem = match &key {
            Public::P256(key) => key.to_public_key_pem(LineEnding::LF),
            Public::P384(key) => key.to_public_key_pem(LineEnding::LF),
        };
        let pem = pem.map_err(unusable)?;
        Ok(PublicKey { key, hint: KeyHint::of(&pem), pem })
    }
}

impl SigningKey {
    /// A new key, made from the system's random numbers.
    pub fn generate(curve: Curve) -> Result<SigningKey, KeyError> {
        SigningKey::new(match curve {
            Curve::P256 => Secret::P256(p256::SecretKey::try_generate().map_err(unusable)?),
            Curve::P384 => Secret::P384(p384::SecretKey::try_generate().map_err(unusable)?),
        })
    }

    /// Reads an unencrypted private key, in SEC1 (`BEGIN EC PRIVATE KEY`) or PKCS#8 (`BEGIN PRIVATE KEY`).
    pub fn from_pem(pem: &str) -> Result<SigningKey, KeyError> {
        // OpenSSL can write the curve's parameters in a block of their own before the key.
        let pem = match pem.find("-----END EC PARAMETERS-----") {
            Some(end) => block(&pem[end + 5..])?,
            None => block(pem)?,
        };
        if pem.contains("PUBLIC KEY-----") {
            return Err(KeyError::Public);
        }
        if pem.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let key = match p256::SecretKey::from_pem(pem) {
            Ok(key) => Secret::P256(key),
            Err(_) => Secret::P384(p384::SecretKey::from_pem(pem).map_err(unusable)?),
        };
        SigningKey::new(key)
    }

    /// The key in PKCS#8, as PEM text.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let pem = match &self.key {
            Secret::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Secret::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map_err(unusable)
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message and returns the signature in DER. The same message gives the same signature (RFC 6979).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, p256::ecdsa::Error> {
        Ok(match &self.key {
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(key).try_sign(message)?;
                signature.to_der().as_bytes().to_vec()
            }
            Secret::P384(key) => {
                let signature: p384::ecdsa::Signature = p384::ecdsa::SigningKey::from(key).try_sign(message)?;
                signature.to_der().as_bytes().to_vec()
            }
        })
    }

    fn new(key: Secret) -> Result<SigningKey, KeyError> {
        let public = PublicKey::new(match &key {
            Secret::P256(key) => Public::P256(key.public_key()),
            Secret::P384(key) => Public::P384(key.public_key()),
        })?;
        Ok(SigningKey { key, public })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?} {})", self.curve(), self.hint)
    }
}

/// Shows the public key only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

/// The text from its first PEM line on, because key files may have remarks above it.
fn block(text: &str) -> Result<&str, KeyError> {
    let start = text.find("-----BEGIN ").filter(|_| text.len() <= MAX_PEM_BYTES).ok_or(KeyError::NotPem)?;
    Ok(&text[start..])
}

fn unusable(error: impl fmt::Display) -> KeyError {
    KeyError::Unusable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_text_form() {
        for curve in [Curve::P256, Curve::P384] {
            let key = SigningKey::generate(curve).unwrap();
            let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
            assert_eq!(again.public_key(), key.public_key());
            let public = PublicKey::from_pem(key.public_key().to_pem()).unwrap();
            assert_eq!(&public, key.public_key());
            assert_eq!(public.curve(), curve);
            assert!(public.verifies(b"x", &again.sign(b"x").unwrap()));
            assert!(!public.verifies(b"y", &again.sign(b"x").unwrap()));
            assert!(!format!("{key:?}").contains("PRIVATE"));
        }
    }

    #[test]
    fn the_hint_is_the_digest_of_the_public_keys_file() {
        let file = include_str!("../tests/data/sample/acme.pub");
        let key = PublicKey::from_pem(file).unwrap();
        assert_eq!(key.to_pem(), file);
        assert_eq!(key.hint().to_string(), "9a3c0cce04ae8e82fc601d4a3da6fb8aa5008b80812bef0ec767212181341266");
        let carried = format!("# the key of acme\r\n{}", file.replace('\n', "\r\n"));
        assert_eq!(PublicKey::from_pem(&carried).unwrap().hint(), key.hint());
    }

    #[test]
    fn texts_that_are_not_usable_keys_are_refused() {
        let key = SigningKey::generate(Curve::P256).unwrap();
        let (private, public) = (key.to_pem().unwrap(), key.public_key().to_pem());
        assert!(matches!(PublicKey::from_pem(&private), Err(KeyError::Private)));
        assert!(matches!(SigningKey::from_pem(public), Err(KeyError::Public)));
        for text in ["", "9a3c0cce", &"-----BEGIN PUBLIC KEY-----\n".repeat(1000)] {
            assert!(matches!(PublicKey::from_pem(text), Err(KeyError::NotPem)));
        }
        for text in [public.replace("MFkw", "MFkx"), public[..60].to_owned(), public.replace('=', "")] {
            assert!(matches!(PublicKey::from_pem(&text), Err(KeyError::Unusable(_))), "{text}");
        }
    }
}
