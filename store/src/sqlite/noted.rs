//! The head of the audit log, noted in a file beside the database after each change. A database that lost its last
//! changes looks whole from inside: it may have been cut off with its write-ahead log, emptied, or replaced by an older
//! copy. Then a revoked key would be good again, so such a database is refused.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::audit::hash_of;
use crate::digest::seal;
use crate::{AuditHead, StoreError, durable};

const FILE: &str = "audit.head";

pub(super) struct NotedHead {
    file: File,
}

impl NotedHead {
    pub(super) fn open(folder: &Path, database: &Connection, head: &AuditHead) -> Result<NotedHead, StoreError> {
        let failed = |e| StoreError::io("noting the head of the audit log", FILE, e);
        let path = folder.join(FILE);
        if let Some(noted) = read(&path).map_err(failed)? {
            compare(&noted, database, head)?;
        }
        let noted = NotedHead::create(&path).map_err(failed)?;
        noted.note(head);
        noted.file.sync_all().map_err(failed)?;
        Ok(noted)
    }

    fn create(path: &Path) -> io::Result<NotedHead> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        durable::sync_parent(path)?;
        Ok(NotedHead { file })
    }

    /// Not synchronised, and a failure is let pass: the note may lag behind the database, which is what is durable. It
    /// survives the death of the process in any case.
    pub(super) fn note(&self, head: &AuditHead) {
        let _ = self.file.write_all_at(line(head).as_bytes(), 0);
    }
}

/// Always of one length, so that it is written over in place; with a check, so that damage to it is no wrong alarm.
fn line(head: &AuditHead) -> String {
    let text = format!("{:020}:{}", head.count, head.hash);
    format!("{text} {}\n", seal("bulkhead noted head 1", &[text.as_bytes()]))
}

fn read(path: &Path) -> io::Result<Option<AuditHead>> {
    let text = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let head = str::from_utf8(&text).ok().and_then(|text| text.split_once(' ')?.0.parse().ok());
    Ok(head.filter(|head| line(head).as_bytes() == text))
}

fn compare(noted: &AuditHead, database: &Connection, head: &AuditHead) -> Result<(), StoreError> {
    let behind = |found| Err(StoreError::Behind { noted: noted.count, found });
    if head.count < noted.count {
        return behind(format!("{} are in the database", head.count));
    }
    let hash = hash_of(database, noted.count).map_err(|e| StoreError::database("reading the audit log", e))?;
    if noted.count > 0 && hash.is_none_or(|hash| hash != noted.hash.0) {
        return behind(format!("number {} in the database is another one", noted.count));
    }
    Ok(())
}
