//! The data folder: the place on disk where the host keeps all state that must survive it. A lock ensures that one host
//! uses it at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempDir};

use crate::blobs::FolderBlobs;
use crate::secret::{self, Secret, Token};
use crate::sqlite::Sqlite;
use crate::{Blobs, Metadata, StoreError, audit_part, durable};

pub struct DataFolder {
    path: PathBuf,
    metadata: Arc<Sqlite>,
    blobs: Arc<FolderBlobs>,
    _lock: Arc<Lock>,
}

/// The lock on the folder. It is held for as long as any part of the folder is in use, and the kernel releases it when the
/// process dies.
pub(crate) struct Lock(pub(crate) File);

/// Unlocks explicitly: a child process that the host is just starting shares the open file for a moment, so that closing it
/// here would leave the folder locked until the child has closed it, too.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

const LOCK: &str = "lock";
const BLOBS: &str = "blobs";
pub(crate) const STAGING: &str = "staging";
const CACHE: &str = "cache";
/// Time to wait for the lock: a host that was just killed, and a child that it was starting, may take a moment to end.
const PATIENCE: Duration = Duration::from_millis(500);

impl DataFolder {
    /// Opens the folder, or makes it with mode 0700 if it does not exist. A folder that another host uses, that other users
    /// may write to, or that holds other files is refused. Files that a killed process left in `staging` are removed.
    pub fn open(path: &Path) -> Result<DataFolder, StoreError> {
        prepare(path)?;
        let lock = Arc::new(lock(path)?);
        let unwritable = |source: io::Error| match StoreError::io("opening the data folder", ".", source) {
            StoreError::Io { source, .. } => StoreError::Unwritable { path: path.to_owned(), source },
            full => full,
        };
        lay_out(path).map_err(unwritable)?;
        let metadata = Arc::new(Sqlite::open(path, lock.clone())?);
        let blobs = Arc::new(FolderBlobs::new(path.join(BLOBS), path.join(STAGING), lock.clone()));
        Ok(DataFolder { path: path.to_owned(), metadata, blobs, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn metadata(&self) -> Arc<dyn Metadata> {
        self.metadata.clone()
    }

    pub fn blobs(&self) -> Arc<dyn Blobs> {
        self.blobs.clone()
    }

    /// The secret with this name: random bytes, made at first use and kept in the file `NAME.secret`, mode 0600.
    pub fn secret(&self, name: &str) -> Result<Secret, StoreError> {
        secret::secret(&self.path, &self.path.join(STAGING), name)
    }

    /// The token with this name: `bulkhead-NAME-` and 64 hexadecimal digits, made at first use and kept in the file
    /// `NAME.token`, mode 0600.
    pub fn token(&self, name: &str) -> Result<Token, StoreError> {
        secret::token(&self.path, &self.path.join(STAGING), name)
    }

    /// A temporary file for data that may yet be discarded, on the file system of the data folder; removed when it is
    /// dropped.
    pub fn staging_file(&self) -> Result<NamedTempFile, StoreError> {
        NamedTempFile::new_in(self.path.join(STAGING)).map_err(|e| StoreError::io("making a file", STAGING, e))
    }

    /// A temporary folder in the same place, mode 0700; removed with its contents when it is dropped.
    pub fn staging_folder(&self) -> Result<TempDir, StoreError> {
        let mut builder = tempfile::Builder::new();
        builder.permissions(fs::Permissions::from_mode(0o700));
        builder.tempdir_in(self.path.join(STAGING)).map_err(|e| StoreError::io("making a folder", STAGING, e))
    }

    /// The folder for data that can be made again, such as compiled code.
    pub fn cache(&self) -> PathBuf {
        self.path.join(CACHE)
    }
}

fn prepare(path: &Path) -> Result<(), StoreError> {
    let unwritable = |source| StoreError::Unwritable { path: path.to_owned(), source };
    make_folder(path).map_err(unwritable)?;
    let metadata = fs::metadata(path).map_err(unwritable)?;
    if !metadata.is_dir() {
        return Err(unwritable(io::ErrorKind::NotADirectory.into()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(StoreError::Exposed { path: path.to_owned(), mode });
    }
    match stranger(path).map_err(unwritable)? {
        Some(found) => Err(StoreError::NotOurs { path: path.to_owned(), found }),
        None => Ok(()),
    }
}

/// The name of a file in a folder that no host has used before, if there is one. Such a folder is refused, so that the host
/// does not spread its files over a home folder that was named by mistake.
fn stranger(path: &Path) -> io::Result<Option<String>> {
    let mut found = None;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            LOCK | crate::sqlite::DATABASE => return Ok(None),
            "lost+found" => {}
            _ => found = Some(name),
        }
    }
    Ok(found)
}

fn lock(path: &Path) -> Result<Lock, StoreError> {
    let unwritable = |source| StoreError::Unwritable { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path.join(LOCK)).map_err(unwritable)?;
    match lock_soon(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::InUse { path: path.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(unwritable(source)),
    }
    // The number is only for the error text of another host. Without it, on a full disk, the lock still holds.
    let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    Ok(Lock(file))
}

fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            done => return done,
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(20).read_to_string(&mut text) {
        Ok(_) if text.parse::<u32>().is_ok() => format!("process {text}"),
        _ => "another process".into(),
    }
}

fn lay_out(path: &Path) -> io::Result<()> {
    for name in [BLOBS, STAGING, CACHE, audit_part::FOLDER] {
        make_folder(&path.join(name))?;
    }
    empty(&path.join(STAGING))?;
    durable::sync_folder(path)?;
    durable::sync_parent(&path.canonicalize()?)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
