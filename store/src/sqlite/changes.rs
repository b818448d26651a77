//! The feed of changes, as rows of a table: one for each of the last revisions, with the names of the documents that it
//! changed and a hash. A row that is not there, or does not match its hash, makes the changes unknown, never wrong.

use std::collections::HashSet;

use rusqlite::{Connection, Row, Transaction, params};

use super::documents::{self, Prepared, bytes};
use crate::record_hash::record_hash;
use crate::{ChangedDocument, Changes, Revision, StoreError};

/// Revisions that are kept. A reader asks every second, so that only one that was cut off for long reads all documents.
const KEPT: u64 = 1000;
const READING: &str = "reading the changes";

/// Kind and key of a document, and whether the change wrote it (true) or removed it.
type Named = (String, String, bool);

pub(super) fn append(
    transaction: &Transaction<'_>,
    doing: &'static str,
    revision: Revision,
    writes: &[Prepared<'_>],
) -> Result<(), StoreError> {
    let named: Vec<_> = writes.iter().map(|write| (write.kind, write.key, write.text.is_some())).collect();
    insert(transaction, revision, &serde_json::json!(named).to_string()).map_err(|e| StoreError::database(doing, e))
}

fn insert(transaction: &Transaction<'_>, revision: Revision, text: &str) -> rusqlite::Result<()> {
    let id = in_sql(revision.0);
    // A row of this revision may be there only through damage.
    let sql = "INSERT OR REPLACE INTO changes (revision, documents, hash) VALUES (?, ?, ?)";
    transaction.execute(sql, params![id, text, &hash(id, text.as_bytes())[..]])?;
    transaction.execute("DELETE FROM changes WHERE revision <= ?", [id - in_sql(KEPT)])?;
    Ok(())
}

/// SQLite has signed integers only. No store ever reaches the largest revision that fits.
fn in_sql(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The changes after `since`, in a store whose present revision is `now`.
pub(super) fn since(connection: &Connection, since: Revision, now: Revision) -> Result<Changes, StoreError> {
    let read = || {
        let Some(named) = named(connection, since, now)? else { return Ok(Changes::Unknown) };
        let mut changed = Vec::new();
        for (kind, key, kept) in once_each(named) {
            let value = match kept.then(|| documents::find(connection, &kind, &key)).transpose()? {
                None => None,
                Some(Some(value)) => Some(value),
                Some(None) => return Ok(Changes::Unknown),
            };
            changed.push(ChangedDocument { kind, key, value });
        }
        Ok(Changes::Known { revision: now, documents: changed })
    };
    read().map_err(|e| StoreError::database(READING, e))
}

/// The documents of each change from `since` to `now`, in order; `None` if a row is missing or damaged.
fn named(connection: &Connection, since: Revision, now: Revision) -> rusqlite::Result<Option<Vec<Named>>> {
    let Some(count) = now.0.checked_sub(since.0).filter(|count| *count <= KEPT) else { return Ok(None) };
    let sql = "SELECT revision, documents, hash FROM changes WHERE revision > ? AND revision <= ? ORDER BY revision";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([in_sql(since.0), in_sql(now.0)])?;
    let (mut all, mut found) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let Some(named) = named_in(row)? else { return Ok(None) };
        all.extend(named);
        found += 1;
    }
    // Revisions have no gaps, so as many rows as revisions are all of them.
    Ok((found == count).then_some(all))
}

fn named_in(row: &Row<'_>) -> rusqlite::Result<Option<Vec<Named>>> {
    let (revision, text) = (row.get(0)?, bytes(row, 1)?);
    let intact = hash(revision, text) == *bytes(row, 2)?;
    Ok(intact.then(|| serde_json::from_slice(text).ok()).flatten())
}

/// Each document once, at the place of the last change to it.
fn once_each(named: Vec<Named>) -> Vec<Named> {
    let mut seen = HashSet::new();
    let mut last: Vec<Named> =
        named.into_iter().rev().filter(|(kind, key, _)| seen.insert((kind.clone(), key.clone()))).collect();
    last.reverse();
    last
}

fn hash(revision: i64, text: &[u8]) -> [u8; 32] {
    *record_hash("bulkhead changes 1", &[&revision.to_be_bytes(), text]).as_bytes()
}
