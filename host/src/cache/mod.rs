//! A cache on disk of results that take long to make and can be made again: one file per entry, each authenticated with a
//! key of this host. The content of an entry is not used before its tag was verified, and a wrong or truncated entry is
//! deleted. A cache that is missing or cannot be written costs time and nothing else.

mod folder;
mod key;

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::{Buf, Bytes};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::numbers::to_usize;

pub use key::{CacheKey, CacheKeyBuilder};

/// The entries of a host, in a folder of their own.
pub struct Cache {
    folder: PathBuf,
    key: [u8; 32],
    most_bytes: u64,
}

/// Length in bytes of the tag that stands before an entry's content.
const TAG: usize = 32;

/// Domain separation of the tags: a tag that was made for another purpose with the same key does not verify here.
const PURPOSE: &[u8] = b"bulkhead cache entry 1\0";

impl Cache {
    /// Creates the folder if it is missing, and removes the least recently used entries beyond `most_bytes`. `key` must be
    /// secret. A folder that cannot be used is logged.
    pub fn open(folder: PathBuf, key: [u8; 32], most_bytes: u64) -> Cache {
        let cache = Cache { folder, key, most_bytes };
        if let Err(error) = folder::prepare(&cache.folder).and_then(|()| folder::trim(&cache.folder, most_bytes)) {
            cache.warn(&error);
        }
        cache
    }

    /// The content that was put; `None` if there is no entry, or if it does not verify.
    pub fn get(&self, name: &CacheKey) -> Option<Bytes> {
        match self.read(name) {
            Ok(Some(entry)) => match self.verify(name, entry) {
                Some(content) => {
                    folder::touch(&self.path(name));
                    Some(content)
                }
                None => {
                    tracing::error!(entry = %name, "an entry of the cache is truncated or was changed; it is deleted and made again");
                    self.remove(name);
                    None
                }
            },
            Ok(None) => None,
            Err(error) => {
                self.warn(&error);
                None
            }
        }
    }

    /// Stores the parts, one after the other, as one content. A content that is larger than the whole cache is not stored.
    pub fn put(&self, name: &CacheKey, parts: &[&[u8]]) {
        let bytes = (TAG + parts.iter().map(|part| part.len()).sum::<usize>()) as u64;
        if bytes > self.most_bytes {
            return;
        }
        let kept = folder::trim(&self.folder, self.most_bytes - bytes).and_then(|()| self.write(name, parts));
        if let Err(error) = kept {
            self.warn(&error);
        }
    }

    /// Deletes an entry that cannot be used any more.
    pub fn remove(&self, name: &CacheKey) {
        // The entry may be gone already. If it cannot be removed, it cannot be written again either, and that failure is
        // logged.
        let _ = fs::remove_file(self.path(name));
    }

    fn path(&self, name: &CacheKey) -> PathBuf {
        self.folder.join(name.to_string())
    }

    fn read(&self, name: &CacheKey) -> io::Result<Option<Bytes>> {
        let file = match fs::File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len().min(self.most_bytes);
        let mut entry = Vec::with_capacity(to_usize(length));
        file.take(length).read_to_end(&mut entry)?;
        Ok(Some(entry.into()))
    }

    fn verify(&self, name: &CacheKey, mut entry: Bytes) -> Option<Bytes> {
        if entry.len() < TAG {
            return None;
        }
        let tag = entry.split_to(TAG);
        self.mac(name, &[entry.chunk()])?.verify_slice(&tag).ok()?;
        Some(entry)
    }

    fn mac(&self, name: &CacheKey, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(PURPOSE);
        mac.update(name.bytes());
        parts.iter().for_each(|part| mac.update(part));
        Some(mac)
    }

    /// Writes an entry so that a concurrent reader sees the old file or the whole new one.
    fn write(&self, name: &CacheKey, parts: &[&[u8]]) -> io::Result<()> {
        let Some(mac) = self.mac(name, parts) else { return Ok(()) };
        let mut file = folder::new_file(&self.folder)?;
        file.write_all(&mac.finalize().into_bytes())?;
        for part in parts {
            file.write_all(part)?;
        }
        file.persist(self.path(name)).map_err(|error| error.error)?;
        Ok(())
    }

    fn warn(&self, error: &io::Error) {
        tracing::warn!(folder = %self.folder.display(), %error, "the cache of compiled code cannot be used; starts take longer without it");
    }
}

#[cfg(test)]
mod tests;
