//! The data folder: the one place on disk where the host keeps what must survive it. One host at a time.

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
use crate::{Blobs, Metadata, StoreError, durable};

pub struct DataFolder {
    path: PathBuf,
    metadata: Arc<Sqlite>,
    blobs: Arc<FolderBlobs>,
    _lock: Arc<Lock>,
}

/// Held for as long as anything of the folder is in use, and given back by the kernel when the process dies.
pub(crate) struct Lock(pub(crate) File);

/// A child that the host is just starting shares the lock for a moment. Nobody else needs to wait for it to move on.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

const LOCK: &str = "lock";
const BLOBS: &str = "blobs";
const STAGING: &str = "staging";
const CACHE: &str = "cache";
/// How long a host that was just killed may take to be gone, with a child that it was starting.
const PATIENCE: Duration = Duration::from_millis(500);

impl DataFolder {
    /// Makes the folder with mode 0700 if it is not there, and refuses one that another host uses. What a process that
    /// was killed left half done is removed.
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

    /// The random secret of that name, made at first use; in the file `NAME.secret`, mode 0600.
    pub fn secret(&self, name: &str) -> Result<Secret, StoreError> {
        secret::secret(&self.path, &self.path.join(STAGING), name)
    }

    /// The token of that name, `bulkhead-NAME-` and 64 digits, made at first use; in the file `NAME.token`, mode 0600.
    pub fn token(&self, name: &str) -> Result<Token, StoreError> {
        secret::token(&self.path, &self.path.join(STAGING), name)
    }

    /// A file for what is not yet sure to stay, on the same file system; removed when it is dropped.
    pub fn staging_file(&self) -> Result<NamedTempFile, StoreError> {
        NamedTempFile::new_in(self.path.join(STAGING)).map_err(|e| StoreError::io("making a file", STAGING, e))
    }

    /// The same for a folder, mode 0700.
    pub fn staging_folder(&self) -> Result<TempDir, StoreError> {
        let mut builder = tempfile::Builder::new();
        builder.permissions(fs::Permissions::from_mode(0o700));
        builder.tempdir_in(self.path.join(STAGING)).map_err(|e| StoreError::io("making a folder", STAGING, e))
    }

    /// A folder for what can be made again, as compiled code is.
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

/// Somebody else's file in a folder that no host has used: a home folder named by mistake is not strewn with ours.
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
    // Only for the text of the refusal: on a full disk the lock holds without it.
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
    for name in [BLOBS, STAGING, CACHE] {
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
