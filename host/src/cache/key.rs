//! Keys of cache entries: a key is a digest over everything that the content depends on.

use std::fmt;

use bulkhead_digest::{Digest, DigestBuilder};

/// The digest of everything that an entry's content depends on; its hexadecimal digits are the name of the entry's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKey(Digest);

/// Collects everything that a content depends on. Each part is hashed with its length, so that no two lists of parts have
/// the same digest.
pub struct CacheKeyBuilder(DigestBuilder);

impl CacheKeyBuilder {
    /// A builder for a kind of entries, which `what` names. Always parts are the program's version, the versions of all its
    /// libraries, and the kind of processor: another version of tract may compute other numbers, or accept other files.
    pub fn of(what: &str) -> CacheKeyBuilder {
        let program = [env!("CARGO_PKG_VERSION"), env!("LIBRARIES"), std::env::consts::ARCH];
        program.into_iter().fold(CacheKeyBuilder(DigestBuilder::default()), CacheKeyBuilder::part).part(what)
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
        self.0.finish()
    }
}

impl CacheKey {
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}
