//! [`Metadata`] in an SQLite database, with one connection for writing and one for reading. The modules `audit`,
//! `changes`, `documents`, `state` and `usage` each own one table.

mod audit;
mod changes;
mod connect;
mod documents;
mod error;
mod rollback_guard;
mod state;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollback_guard::AuditHeadFile;
use rusqlite::ffi::SQLITE_IOERR_WRITE;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use state::DatabaseState;

use crate::folder::{Lock, STAGING};
use crate::reserve::Reserve;
use crate::{
    AuditBroken, AuditEntry, AuditHead, AuditPart, AuditSummary, Change, Changes, Loaded, Metadata, RenamedUsage,
    Revision, StoreError, StoredUsage, UsageRow, audit_part,
};

pub(crate) const DATABASE: &str = "bulkhead.db";

/// Upper bound on the entries that one rotation moves: acts wait for it.
const MOST_MOVED: u64 = 1000;

/// The fields are dropped in this order: the last connection to close still writes to the files, so the lock must be
/// released after both.
pub(crate) struct Sqlite {
    /// The data folder, for parts of the audit log.
    folder: PathBuf,
    reader: Mutex<Connection>,
    writer: Mutex<Writer>,
    _lock: Arc<Lock>,
}

struct Writer {
    connection: Connection,
    noted: AuditHeadFile,
    reserve: Reserve,
    /// True after a commit that the disk did not confirm. Only a restart, which reads the file again, shows if the
    /// transaction is in it, so until then nothing more is written.
    unconfirmed: bool,
}

/// The entries that one rotation moves to a part, if this many stay in the database.
fn entries_at_once(keep: u64) -> u64 {
    (keep / 10).clamp(1, MOST_MOVED)
}

impl Sqlite {
    pub(crate) fn open(folder: &Path, lock: Arc<Lock>) -> Result<Sqlite, StoreError> {
        let path = folder.join(DATABASE);
        let connection = connect::writer(&path)?;
        let state = state::read(&connection)?;
        let noted = AuditHeadFile::open(folder, &connection, &state)?;
        let reader = connect::reader(&path)?;
        let writer = Mutex::new(Writer { connection, noted, reserve: Reserve::open(folder), unconfirmed: false });
        Ok(Sqlite { folder: folder.to_owned(), reader: Mutex::new(reader), writer, _lock: lock })
    }

    fn read<T, E: From<StoreError>>(
        &self,
        doing: &'static str,
        look: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        read(&mut locked(&self.reader), doing, look)
    }
}

impl Writer {
    fn commit(
        &mut self,
        based_on: Revision,
        writes: &[documents::Prepared<'_>],
        act: &audit::Prepared<'_>,
        renamed_usage: Option<&RenamedUsage>,
    ) -> Result<AuditEntry, StoreError> {
        const DOING: &str = "writing a change";
        let record = self.write(DOING, |transaction| {
            let mut state = state::read(transaction)?;
            let current = state.head.revision();
            if current != based_on {
                return Err(StoreError::Conflict { based_on, current });
            }
            documents::write(transaction, DOING, writes, &mut state)?;
            let record = audit::append(transaction, DOING, act, &mut state)?;
            changes::append(transaction, DOING, state.head.revision(), writes)?;
            renamed_usage.map_or(Ok(()), |renamed| usage::rename(transaction, DOING, renamed))?;
            state::write(transaction, DOING, &state)?;
            Ok(record)
        })?;
        let entry = record.entry();
        self.noted.note(&AuditHead { count: entry.id, hash: entry.hash });
        Ok(entry)
    }

    /// Writes a part, and then removes its entries. If the host ends between the two, the next rotation removes the part, and
    /// writes another one.
    fn rotate_audit(&mut self, folder: &Path, keep: u64) -> Result<Option<AuditPart>, AuditBroken> {
        const DOING: &str = "rotating the audit log";
        let state = state::read(&self.connection)?;
        let moved = entries_at_once(keep);
        if state.head.count.saturating_sub(state.base.count) < keep.saturating_add(moved) {
            return Ok(None);
        }
        let (records, last) = audit::oldest(&self.connection, state.base, moved)?;
        audit_part::remove_uncommitted(folder, state.base, |head| {
            let hash = audit::hash_of(&self.connection, head.count).map_err(|e| StoreError::database(DOING, e))?;
            Ok(hash.is_some_and(|hash| hash == head.hash.as_bytes()))
        })?;
        let part = audit_part::write(folder, &folder.join(STAGING), &records, last)?;
        self.write(DOING, |transaction| {
            audit::remove(transaction, DOING, last.count)?;
            state::write(transaction, DOING, &DatabaseState { base: last, ..state::read(transaction)? })
        })?;
        Ok(Some(part))
    }

    fn write<T>(
        &mut self,
        doing: &'static str,
        act: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.unconfirmed {
            return Err(StoreError::Unconfirmed { doing });
        }
        let done = transact(&mut self.connection, doing, act);
        self.unconfirmed = matches!(done, Err(StoreError::Unconfirmed { .. }));
        done
    }
}

impl Metadata for Sqlite {
    fn load(&self) -> Result<Loaded, StoreError> {
        documents::load(&locked(&self.writer).connection)
    }

    fn commit(&self, based_on: Revision, change: &Change) -> Result<AuditEntry, StoreError> {
        let writes = documents::prepare(&change.writes)?;
        let act = audit::prepare(&change.act)?;
        let mut writer = locked(&self.writer);
        let written = loop {
            match writer.commit(based_on, &writes, &act, change.renamed_usage.as_ref()) {
                Err(StoreError::DiskFull { .. }) if change.revokes && writer.reserve.give() => {}
                done => break done,
            }
        };
        writer.reserve.refill();
        written
    }

    fn changes_since(&self, revision: Revision) -> Result<Changes, StoreError> {
        // With the connection for writing, so that it does not wait for a long look at the audit log.
        read(&mut locked(&self.writer).connection, "reading the changes", |snapshot| {
            let now = state::read(snapshot)?.head.revision();
            changes::since(snapshot, revision, now)
        })
    }

    fn audit(&self, after: u64, limit: u64) -> Result<Vec<AuditEntry>, StoreError> {
        self.read("reading the audit log", |snapshot| audit::list(snapshot, after, limit))
    }

    fn rotate_audit(&self, keep: u64) -> Result<Option<AuditPart>, AuditBroken> {
        locked(&self.writer).rotate_audit(&self.folder, keep)
    }

    fn verify_audit(&self, noted: Option<&AuditHead>) -> Result<AuditSummary, AuditBroken> {
        self.read("reading the audit log", |snapshot| audit::verify(snapshot, noted))
    }

    fn add_usage(&self, rows: &[UsageRow]) -> Result<(), StoreError> {
        const DOING: &str = "writing usage";
        locked(&self.writer).write(DOING, |transaction| usage::add(transaction, DOING, rows))
    }

    fn usage(&self, tenant: Option<&str>) -> Result<StoredUsage, StoreError> {
        self.read("reading usage", |snapshot| usage::read(snapshot, tenant))
    }
}

/// Ignores poisoning: a thread that panicked left no half-done transaction, because dropping the transaction rolled it
/// back.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `look` in a transaction, so that everything that it reads is of one state, whatever is written meanwhile.
fn read<T, E: From<StoreError>>(
    connection: &mut Connection,
    doing: &'static str,
    look: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let snapshot = connection.transaction().map_err(|e| StoreError::database(doing, e))?;
    look(&snapshot)
}

fn transact<T>(
    connection: &mut Connection,
    doing: &'static str,
    act: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = begun.map_err(|e| StoreError::database(doing, e))?;
    let done = act(&transaction)?;
    transaction.commit().map_err(|e| match is_surely_undone(&e) {
        true => StoreError::database(doing, e),
        false => StoreError::Unconfirmed { doing },
    })?;
    Ok(done)
}

/// True if a commit that failed has certainly left nothing. SQLite writes the mark that completes a transaction last, so a
/// failed write left no mark. After any other failure, the next start may find the whole transaction on the disk.
fn is_surely_undone(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return false };
    matches!(failure.code, ErrorCode::DiskFull | ErrorCode::DatabaseBusy) || failure.extended_code == SQLITE_IOERR_WRITE
}

#[cfg(test)]
mod tests;
