//! Errors of the store, with what to do about each. Only the errors of opening name the folder, because the operator who
//! starts the host reads them. The others may reach a publisher, and name files relative to the data folder. No text names
//! the database that holds the state, or repeats what it says: its own error is the `source`.

use std::io;
use std::path::PathBuf;

use crate::{Digest, Revision};

/// The error of what lies below the store, as the `source` of a [`StoreError`]. Its text is for the host's log only.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the data folder {path:?} cannot be used: {source}. Make it a folder that the host's user may write to, or \
         choose another one"
    )]
    Unwritable { path: PathBuf, source: io::Error },

    #[error(
        "the data folder {path:?} is in use: its file `lock` is held by {holder}. Stop that host, or choose another folder"
    )]
    InUse { path: PathBuf, holder: String },

    #[error(
        "other users may write to the data folder {path:?} (its mode is {mode:03o}). Forbid it with `chmod go-w`, or \
         name a new folder inside it, which is then made with mode 700"
    )]
    Exposed { path: PathBuf, mode: u32 },

    #[error(
        "{path:?} contains `{found}` and is not a data folder of a host. Name an empty folder, or one that does not exist"
    )]
    NotOurs { path: PathBuf, found: String },

    #[error("the disk of the data folder is full: {doing} was not done. Free some space and try again")]
    DiskFull { doing: &'static str },

    #[error(
        "the disk did not confirm {doing}: only a restart shows if it was kept, and nothing more is written until then. \
         Check the disk, then restart the host"
    )]
    Unconfirmed { doing: &'static str },

    #[error("the stored state cannot be written, because its disk is read-only: {doing} was not done. Check the disk")]
    ReadOnly { doing: &'static str },

    #[error(
        "another program holds the stored state, perhaps a backup: {doing} was not done. End that program, or try again"
    )]
    Busy { doing: &'static str },

    #[error(
        "another host changed the stored state: the act was decided on revision {based_on} of the stored state, \
         which now has revision {current}. Nothing was done; look at the state, then try again"
    )]
    Conflict { based_on: Revision, current: Revision },

    #[error(
        "the stored state is damaged ({why}). Stop the host, and restore a backup of the data folder as docs/state.md \
         describes"
    )]
    Damaged { why: String, source: Option<Cause> },

    #[error(
        "the stored state has version {found} and this host knows versions up to {known}: a newer host wrote it. Start \
         that host, or restore a backup from before the upgrade"
    )]
    NewerVersion { found: i64, known: i64 },

    #[error(
        "the stored state is not the one that was last written: `audit.head` notes {noted} administrative acts, but \
         {found}. Restore the right one as docs/state.md describes; or, when an older state is wanted, remove \
         `audit.head` and do the later acts again, revocations first"
    )]
    Behind { noted: u64, found: String },

    #[error(
        "the audit log does not end with the entry that its head names, so nothing is added to it: {doing} was not done. \
         Run `bulkhead audit verify`, and restore a backup"
    )]
    AuditEnd { doing: &'static str },

    #[error("{what} has {bytes} bytes; the store takes at most {limit}")]
    TooLarge { what: String, bytes: u64, limit: u64 },

    #[error("{what} could not be read back after it is written: {why}. JSON may be nested 127 levels deep")]
    Unstorable { what: String, why: String },

    #[error("the blob {0:x} is missing. Upload its bundle again, or restore a backup of the folder `blobs`")]
    BlobMissing(Digest),

    #[error(
        "the blob {digest:x} is damaged: the {bytes} bytes that are there have another digest. Upload its bundle again, or \
         restore the file of that name in `blobs`"
    )]
    BlobDamaged { digest: Digest, bytes: u64 },

    #[error(
        "the file `{file}` of the data folder is unusable: {why}. Restore it, or remove it and restart: a new one is made"
    )]
    SecretUnusable { file: String, why: String },

    #[error("`{file}` of the data folder: {doing} failed: {source}")]
    Io { doing: &'static str, file: String, source: io::Error },

    #[error("the stored state: {doing} failed; the host's log has the cause")]
    Failed { doing: &'static str, source: Cause },

    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, file: impl Into<String>, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::DiskFull { doing }
            }
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { doing },
            _ => StoreError::Io { doing, file: file.into(), source },
        }
    }

    pub(crate) fn damaged(why: impl Into<String>) -> StoreError {
        StoreError::Damaged { why: why.into(), source: None }
    }
}
