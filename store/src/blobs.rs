//! Blobs: bytes named by their SHA-256 digest. Each read hashes the bytes again, so that damage is detected.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::folder::Lock;
use crate::{Digest, StoreError, durable};

pub trait Blobs: Send + Sync {
    /// Stores the bytes, durably when it returns `Ok`. A blob may be stored again, also by several threads at once, which
    /// repairs a damaged file. A caller that removes blobs must ensure that no other thread is storing the same one.
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError>;

    /// The bytes with this digest; an error if they are missing or damaged.
    fn get(&self, digest: &Digest) -> Result<Bytes, StoreError>;

    /// Digests and sizes in bytes of all blobs, as the file system has them: nothing is hashed.
    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError>;

    /// Removes a blob. It is not an error if there is none.
    fn remove(&self, digest: &Digest) -> Result<(), StoreError>;
}

/// One file for each blob in one folder, named by its digest.
pub(crate) struct FolderBlobs {
    folder: PathBuf,
    staging: PathBuf,
    _lock: Arc<Lock>,
}

impl FolderBlobs {
    pub(crate) fn new(folder: PathBuf, staging: PathBuf, lock: Arc<Lock>) -> FolderBlobs {
        FolderBlobs { folder, staging, _lock: lock }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    fn write(&self, digest: &Digest, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), StoreError> {
        durable::replace(&self.staging, &self.path(digest), fill).map_err(|e| failed("storing a blob", digest, e))
    }
}

impl Blobs for FolderBlobs {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        match self.get(&digest) {
            // Another writer may have renamed the file a moment ago, and not yet synchronised the folder.
            Ok(_) => durable::sync_folder(&self.folder).map_err(|e| failed("storing a blob", &digest, e))?,
            Err(_) => self.write(&digest, |file| file.write_all(bytes))?,
        }
        Ok(digest)
    }

    fn get(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        let bytes = read(&self.path(digest)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StoreError::BlobMissing(*digest),
            _ => failed("reading a blob", digest, e),
        })?;
        if Digest::of(&bytes) != *digest {
            return Err(StoreError::BlobDamaged { digest: *digest, bytes: bytes.len() as u64 });
        }
        Ok(bytes.into())
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let failed = |e| StoreError::io("listing the blobs", "blobs", e);
        let mut blobs = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(digest) = entry.file_name().to_str().and_then(Digest::from_hex) else { continue };
            match entry.metadata() {
                Ok(metadata) => blobs.push((digest, metadata.len())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(e)),
            }
        }
        blobs.sort_unstable();
        Ok(blobs)
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        match fs::remove_file(self.path(digest)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("removing a blob", digest, e)),
            _ => durable::sync_folder(&self.folder).map_err(|e| failed("removing a blob", digest, e)),
        }
    }
}

/// Reads a file. The memory is reserved fallibly, so that a file that damage made huge is an error and does not abort the
/// process.
fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn failed(doing: &'static str, digest: &Digest, source: io::Error) -> StoreError {
    StoreError::io(doing, format!("blobs/{digest:x}"), source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataFolder;

    fn blobs(folder: &std::path::Path) -> FolderBlobs {
        drop(DataFolder::open(folder).unwrap());
        let lock = Arc::new(Lock(File::open(folder.join("lock")).unwrap()));
        FolderBlobs::new(folder.join("blobs"), folder.join("staging"), lock)
    }

    #[test]
    fn a_write_that_fails_half_way_leaves_nothing_and_the_old_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let blobs = blobs(folder.path());
        let digest = Digest::of(b"whole");
        let half = |file: &mut File| {
            file.write_all(b"who")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        assert!(matches!(blobs.write(&digest, half), Err(StoreError::DiskFull { .. })));
        assert_eq!(blobs.list().unwrap(), []);
        assert_eq!(fs::read_dir(&blobs.staging).unwrap().count(), 0);
        blobs.put(b"whole").unwrap();
        assert!(matches!(blobs.write(&digest, half), Err(StoreError::DiskFull { .. })));
        assert_eq!(blobs.get(&digest).unwrap(), b"whole"[..]);
    }
}
