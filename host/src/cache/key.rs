//! Keys of cache entries: a key is a digest over everything that the content depends on.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// The digest of everything that an entry's content depends on; also the name of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKey(Digest);

/// Collects everything that a content depends on. Each part is hashed with its length, so that no two lists of parts have
/// the same digest.
pub struct CacheKeyBuilder(Sha256);

pub fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

impl CacheKeyBuilder {
    /// A builder for a kind of entries, which `what` names. The program's version is always a part.
    pub fn of(what: &str) -> CacheKeyBuilder {
        CacheKeyBuilder(Sha256::new()).part(env!("CARGO_PKG_VERSION")).part(what)
    }

    pub fn part(mut self, part: impl AsRef<[u8]>) -> CacheKeyBuilder {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub fn number(self, number: u64) -> CacheKeyBuilder {
        self.part(number.to_le_bytes())
    }

    pub fn finish(self) -> CacheKey {
        CacheKey(self.digest())
    }

    pub fn digest(self) -> Digest {
        self.0.finalize().into()
    }
}

impl CacheKey {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
