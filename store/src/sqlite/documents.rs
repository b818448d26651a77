//! Documents as rows of a table, each with the hash of its kind, key and text.

use rusqlite::{Connection, Row, Transaction, params};
use serde_json::Value;

use super::state::{self, DatabaseState};
use crate::record_hash::record_hash;
use crate::{Corrupt, Document, Loaded, Repaired, StoreError, Write};

const MOST_BYTES: u64 = 16 << 20;
const LOADING: &str = "reading the documents";

/// A write whose text was checked: it reads back as the same value.
pub(super) struct Prepared<'w> {
    pub(super) kind: &'w str,
    pub(super) key: &'w str,
    /// `None` removes the document.
    pub(super) text: Option<String>,
}

pub(super) fn prepare<'w>(writes: &'w [Write]) -> Result<Vec<Prepared<'w>>, StoreError> {
    let prepared = |Write { kind, key, value }: &'w Write| {
        let text = value.as_ref().map(|value| text(value, || format!("the {kind} `{key}`"))).transpose()?;
        Ok(Prepared { kind, key, text })
    };
    writes.iter().map(prepared).collect()
}

/// The JSON text of a value. A value that could not be read back, such as one that is nested too deeply, is refused now,
/// because it would otherwise fail at the next start.
pub(super) fn text(value: &Value, what: impl Fn() -> String) -> Result<String, StoreError> {
    let text = value.to_string();
    let bytes = text.len() as u64;
    if bytes > MOST_BYTES {
        return Err(StoreError::TooLarge { what: what(), bytes, limit: MOST_BYTES });
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(again) if again == *value => Ok(text),
        Ok(_) => Err(StoreError::Unstorable { what: what(), why: "it reads back as another value".into() }),
        Err(e) => Err(StoreError::Unstorable { what: what(), why: e.to_string() }),
    }
}

pub(super) fn write(
    transaction: &Transaction<'_>,
    doing: &'static str,
    writes: &[Prepared<'_>],
    state: &mut DatabaseState,
) -> Result<(), StoreError> {
    for Prepared { kind, key, text } in writes {
        let rows = match text {
            Some(text) => put(transaction, kind, key, text),
            None => transaction
                .execute("DELETE FROM documents WHERE kind = ? AND key = ?", [kind, key])
                .map(|removed| -i64::try_from(removed).unwrap_or(i64::MAX)),
        };
        state.documents += rows.map_err(|e| StoreError::database(doing, e))?;
    }
    Ok(())
}

/// Writes a document, and returns the number of rows that were added: 1 for a new document, otherwise 0.
fn put(transaction: &Transaction<'_>, kind: &str, key: &str, text: &str) -> rusqlite::Result<i64> {
    let hash = hash(kind.as_bytes(), key.as_bytes(), text.as_bytes());
    let update = "UPDATE documents SET value = ?3, hash = ?4 WHERE kind = ?1 AND key = ?2";
    if transaction.execute(update, params![kind, key, text, &hash[..]])? > 0 {
        return Ok(0);
    }
    let insert = "INSERT INTO documents (kind, key, value, hash) VALUES (?1, ?2, ?3, ?4)";
    let added = transaction.execute(insert, params![kind, key, text, &hash[..]])?;
    Ok(i64::try_from(added).unwrap_or(i64::MAX))
}

pub(super) fn load(connection: &Connection) -> Result<Loaded, StoreError> {
    let mut loaded = scan(connection).map_err(|e| StoreError::database(LOADING, e))?;
    let state = state::read(connection)?;
    let (found, written) = (loaded.documents.len() + loaded.damaged.len(), state.documents);
    if i64::try_from(found) != Ok(written) {
        return Err(StoreError::damaged(format!("it has {found} documents, and {written} were written")));
    }
    loaded.revision = state.head.revision();
    loaded.repaired = repair(connection)?;
    Ok(loaded)
}

fn scan(connection: &Connection) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut rows = connection.prepare("SELECT kind, key, value, hash FROM documents ORDER BY id")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        match document(row)? {
            Ok(document) => loaded.documents.push(document),
            Err(damaged) => loaded.damaged.push(damaged),
        }
    }
    Ok(loaded)
}

/// The value of a document; `None` if it is missing or damaged.
pub(super) fn find(connection: &Connection, kind: &str, key: &str) -> rusqlite::Result<Option<Value>> {
    let sql = "SELECT kind, key, value, hash FROM documents WHERE kind = ? AND key = ?";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([kind, key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(document(row)?.ok().map(|document| document.value))
}

fn document(row: &Row<'_>) -> rusqlite::Result<Result<Document, Corrupt>> {
    let [kind, key, value, stored] = [bytes(row, 0)?, bytes(row, 1)?, bytes(row, 2)?, bytes(row, 3)?];
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let damaged = |why: String| Corrupt { kind: text(kind), key: text(key), why };
    if hash(kind, key, value) != *stored {
        return Ok(Err(damaged("it does not fit its hash".into())));
    }
    Ok(serde_json::from_slice(value)
        .map(|value| Document { kind: text(kind), key: text(key), value })
        .map_err(|e| damaged(e.to_string())))
}

/// The bytes of a text or a blob. A value of another type, which only damage can cause, counts as no bytes.
pub(super) fn bytes<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    Ok(row.get_ref(column)?.as_bytes().unwrap_or_default())
}

/// Checks the table, and rebuilds its index if only that is damaged, which is possible because all rows are there. Other
/// damage is an error. Returns what was repaired.
fn repair(connection: &Connection) -> Result<Vec<Repaired>, StoreError> {
    let wrong = complaints(connection)?;
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let details = wrong.join("; ");
    let again = connection
        .execute_batch("REINDEX documents")
        .map_err(|e| StoreError::database(LOADING, e))
        .and_then(|()| complaints(connection));
    match again {
        Ok(still) if still.is_empty() => Ok(vec![Repaired { what: "the index of documents", details }]),
        Err(full @ StoreError::DiskFull { .. }) => Err(full),
        _ => {
            let why = "the table of documents fails its check".into();
            Err(StoreError::Damaged { why, source: Some(details.into()) })
        }
    }
}

fn complaints(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let ask = || {
        let mut statement = connection.prepare("PRAGMA integrity_check(documents)")?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        lines.filter(|line| line.as_deref() != Ok("ok")).take(10).collect::<rusqlite::Result<_>>()
    };
    ask().map_err(|e| StoreError::database(LOADING, e))
}

fn hash(kind: &[u8], key: &[u8], value: &[u8]) -> [u8; 32] {
    *record_hash("bulkhead document 1", &[kind, key, value]).as_bytes()
}
