//! Rollback protection: after each change, the head of the audit log is noted in a file beside the database. A database
//! that lost its last changes is consistent in itself: its write-ahead log may have been cut off, or the file emptied or
//! replaced by an older copy. A revoked key would then be valid again, so such a database is refused.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::audit::{hash_of, last};
use super::state::DatabaseState;
use crate::record_hash::record_hash;
use crate::{AuditHead, StoreError, durable};

const FILE: &str = "audit.head";

pub(super) struct AuditHeadFile {
    file: File,
}

impl AuditHeadFile {
    pub(super) fn open(
        folder: &Path,
        database: &Connection,
        state: &DatabaseState,
    ) -> Result<AuditHeadFile, StoreError> {
        let failed = |e| StoreError::io("noting the head of the audit log", FILE, e);
        let path = folder.join(FILE);
        let last = last(database).map_err(unreadable)?;
        if let Some(noted) = read(&path).map_err(failed)? {
            compare(&noted, database, state, &last)?;
        }
        let noted = AuditHeadFile::create(&path).map_err(failed)?;
        // Only a head that agrees with the log is noted: with a damaged one, a sound database would be refused later.
        if last == state.head {
            noted.note(&state.head);
        }
        noted.file.sync_all().map_err(failed)?;
        Ok(noted)
    }

    fn create(path: &Path) -> io::Result<AuditHeadFile> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        durable::sync_parent(path)?;
        Ok(AuditHeadFile { file })
    }

    /// Notes the head, without synchronising the file and without reporting a failure: the note may lag behind the
    /// database, which is durable by itself. It survives the death of the process in any case.
    pub(super) fn note(&self, head: &AuditHead) {
        let _ = self.file.write_all_at(line(head).as_bytes(), 0);
    }
}

/// The line of the file. It always has the same length, so that it can be overwritten in place, and contains a checksum, so
/// that a damaged note is ignored instead of raising a false alarm.
fn line(head: &AuditHead) -> String {
    let text = format!("{:020}:{:x}", head.count, head.hash);
    format!("{text} {:x}\n", record_hash("bulkhead noted head 1", &[text.as_bytes()]))
}

fn read(path: &Path) -> io::Result<Option<AuditHead>> {
    let text = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let head = str::from_utf8(&text).ok().and_then(|text| text.split_once(' ')?.0.parse().ok());
    Ok(head.filter(|head| line(head).as_bytes() == text))
}

fn compare(
    noted: &AuditHead,
    database: &Connection,
    state: &DatabaseState,
    last: &AuditHead,
) -> Result<(), StoreError> {
    let behind = |found| Err(StoreError::Behind { noted: noted.count, found });
    match hash_of(database, noted.count).map_err(unreadable)? {
        // Entries that were moved to a part: a database that has moved them is not older than the note.
        _ if noted.count <= state.base.count => Ok(()),
        None => behind(format!("the database does not have number {} (its last is {})", noted.count, last.count)),
        Some(hash) if hash != *noted.hash.as_bytes() => {
            behind(format!("number {} of the database is a different one", noted.count))
        }
        Some(_) => Ok(()),
    }
}

fn unreadable(source: rusqlite::Error) -> StoreError {
    StoreError::database("reading the audit log", source)
}
