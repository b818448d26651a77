//! The audit log as rows of a table. [`crate::audit`] describes the chain of hashes.

use std::time::SystemTime;

use rusqlite::{Connection, Row, Transaction, params};

use super::documents::{bytes, text};
use super::state::{self, DatabaseState};
use crate::audit::{ChainVerifier, Record};
use crate::{Act, AuditBroken, AuditEntry, AuditHead, AuditSummary, StoreError};

const READING: &str = "reading the audit log";
const MOST_ENTRIES: u64 = 1000;
const COLUMNS: &str = "id, at, who, what, subject, before, after, previous, hash";

pub(super) struct Prepared<'a> {
    act: &'a Act,
    before: String,
    after: String,
}

pub(super) fn prepare(act: &Act) -> Result<Prepared<'_>, StoreError> {
    let what = |side| move || format!("`{side}` of the audit entry about `{}`", act.subject);
    Ok(Prepared { act, before: text(&act.before, what("before"))?, after: text(&act.after, what("after"))? })
}

pub(super) fn append(
    transaction: &Transaction<'_>,
    doing: &'static str,
    Prepared { act, before, after }: &Prepared<'_>,
    state: &mut DatabaseState,
) -> Result<Record, StoreError> {
    let failed = |e| StoreError::database(doing, e);
    if last(transaction).map_err(failed)? != state.head {
        return Err(StoreError::AuditEnd { doing });
    }
    let record = Record::next(&state.head, now(), act, before.clone(), after.clone());
    insert(transaction, &record).map_err(failed)?;
    state.head.count += 1;
    state.head.hash = record.hash[..].try_into().unwrap_or_default();
    Ok(record)
}

fn insert(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<usize> {
    let Record { id, at, who, what, subject, before, after, previous, hash } = record;
    let values = params![id, at, who, what, subject, before, after, previous, hash];
    // Texts are bound as bytes, because the hash is over bytes, and stored as text by the casts.
    let texts = "CAST(?3 AS TEXT), CAST(?4 AS TEXT), CAST(?5 AS TEXT), CAST(?6 AS TEXT), CAST(?7 AS TEXT)";
    transaction.execute(&format!("INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, {texts}, ?8, ?9)"), values)
}

pub(super) fn list(connection: &Connection, after: u64, limit: u64) -> Result<Vec<AuditEntry>, StoreError> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let list = || {
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE id > ? ORDER BY id LIMIT ?");
        let mut statement = connection.prepare(&sql)?;
        let entries =
            statement.query_map([after, limit.min(MOST_ENTRIES).cast_signed()], |row| Ok(record(row)?.entry()))?;
        entries.collect::<rusqlite::Result<_>>()
    };
    list().map_err(|e| StoreError::database(READING, e))
}

pub(super) fn verify(connection: &Connection, noted: Option<&AuditHead>) -> Result<AuditSummary, AuditBroken> {
    let failed = |e| StoreError::database(READING, e);
    let state = state::read(connection)?;
    let mut verifier = ChainVerifier::new(state.base, noted);
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY id")).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        verifier.step(&record(row).map_err(failed)?)?;
    }
    verifier.end(&state.head)
}

/// The oldest entries after `base`, at most `count`, verified as a chain; with the last of them.
pub(super) fn oldest(
    connection: &Connection,
    base: AuditHead,
    count: u64,
) -> Result<(Vec<Record>, AuditHead), AuditBroken> {
    let read = || {
        let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY id LIMIT ?"))?;
        statement.query_map([count.cast_signed()], record)?.collect::<rusqlite::Result<Vec<Record>>>()
    };
    let records = read().map_err(|e| StoreError::database(READING, e))?;
    let mut verifier = ChainVerifier::new(base, None);
    records.iter().try_for_each(|record| verifier.step(record))?;
    Ok((records, verifier.seen().head))
}

/// Removes the entries up to this one.
pub(super) fn remove(transaction: &Transaction<'_>, doing: &'static str, last: u64) -> Result<(), StoreError> {
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    let removed = transaction.execute("DELETE FROM audit WHERE id <= ?", [last]);
    removed.map(|_| ()).map_err(|e| StoreError::database(doing, e))
}

/// The stored hash of an entry; `None` if there is no such entry.
pub(super) fn hash_of(connection: &Connection, id: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    use rusqlite::OptionalExtension as _;
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    connection.query_row("SELECT hash FROM audit WHERE id = ?", [id], |row| row.get(0)).optional()
}

/// Number and hash of the last entry in the table, which need not be the head that the table `state` holds.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<AuditHead> {
    let id: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM audit", [], |row| row.get(0))?;
    let id = id.max(0).cast_unsigned();
    let hash = hash_of(connection, id)?.unwrap_or_default();
    Ok(AuditHead { count: id, hash: hash[..].try_into().unwrap_or_default() })
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let field = |column| bytes(row, column).map(<[u8]>::to_vec);
    Ok(Record {
        id: row.get(0)?,
        at: row.get_ref(1)?.as_i64().unwrap_or_default(),
        who: field(2)?,
        what: field(3)?,
        subject: field(4)?,
        before: field(5)?,
        after: field(6)?,
        previous: field(7)?,
        hash: field(8)?,
    })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
