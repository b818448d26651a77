//! The row of the table `state`: the number of documents and the end of the audit log. It is written with every change, so
//! that lost rows are noticed.

use rusqlite::{Connection, Transaction, params};

use crate::{AuditHead, Digest, StoreError};

pub(super) struct DatabaseState {
    /// Number of rows in the table `documents`.
    pub(super) documents: i64,
    pub(super) head: AuditHead,
}

pub(super) fn read(connection: &Connection) -> Result<DatabaseState, StoreError> {
    let sql = "SELECT documents, audit_count, audit_hash FROM state";
    let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)));
    let (documents, count, hash): (i64, i64, Vec<u8>) =
        row.map_err(|e| StoreError::database("reading the state of the database", e))?;
    match (u64::try_from(count), Digest::try_from(&hash[..])) {
        (Ok(count), Ok(hash)) => Ok(DatabaseState { documents, head: AuditHead { count, hash } }),
        _ => Err(StoreError::damaged("the row of its state is not what was written")),
    }
}

pub(super) fn write(
    transaction: &Transaction<'_>,
    doing: &'static str,
    state: &DatabaseState,
) -> Result<(), StoreError> {
    let sql = "UPDATE state SET documents = ?, audit_count = ?, audit_hash = ?";
    let values =
        params![state.documents, i64::try_from(state.head.count).unwrap_or(i64::MAX), &state.head.hash.as_bytes()[..]];
    transaction.execute(sql, values).map_err(|e| StoreError::database(doing, e))?;
    Ok(())
}
