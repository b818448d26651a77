//! The row of the table `state`: the number of documents, and both ends of the audit log in the database. It is written
//! with every change, so that lost rows are noticed.

use rusqlite::{Connection, Row, Transaction, params};

use crate::{AuditHead, Digest, StoreError};

pub(super) struct DatabaseState {
    /// Number of rows in the table `documents`.
    pub(super) documents: i64,
    pub(super) head: AuditHead,
    /// The last entry that was moved to a part; the entry after it is the first in the database.
    pub(super) base: AuditHead,
}

pub(super) fn read(connection: &Connection) -> Result<DatabaseState, StoreError> {
    let sql = "SELECT documents, audit_count, audit_hash, base_count, base_hash FROM state";
    let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, head(row, 1)?, head(row, 3)?)));
    match row.map_err(|e| StoreError::database("reading the state of the database", e))? {
        (documents, Some(head), Some(base)) => Ok(DatabaseState { documents, head, base }),
        _ => Err(StoreError::damaged("the row of its state is not what was written")),
    }
}

/// The head in two columns; `None` if it cannot be one.
fn head(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<AuditHead>> {
    let (count, hash): (i64, Vec<u8>) = (row.get(column)?, row.get(column + 1)?);
    let read = (u64::try_from(count).ok(), Digest::try_from(&hash[..]).ok());
    Ok(match read {
        (Some(count), Some(hash)) => Some(AuditHead { count, hash }),
        _ => None,
    })
}

pub(super) fn write(
    transaction: &Transaction<'_>,
    doing: &'static str,
    state: &DatabaseState,
) -> Result<(), StoreError> {
    let sql = "UPDATE state SET documents = ?, audit_count = ?, audit_hash = ?, base_count = ?, base_hash = ?";
    let count = |head: &AuditHead| i64::try_from(head.count).unwrap_or(i64::MAX);
    let DatabaseState { documents, head, base } = state;
    let values = params![documents, count(head), head.hash.as_bytes(), count(base), base.hash.as_bytes()];
    transaction.execute(sql, values).map_err(|e| StoreError::database(doing, e))?;
    Ok(())
}
