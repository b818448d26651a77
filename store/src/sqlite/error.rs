//! Errors of SQLite as errors of the store. SQLite's own error becomes the source, and its text no part of the store's.

use rusqlite::ErrorCode;
use rusqlite::ffi::{
    SQLITE_ERROR, SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_SHORT_READ,
};

use crate::StoreError;

impl StoreError {
    pub(super) fn database(doing: &'static str, source: rusqlite::Error) -> StoreError {
        let damaged = is_about_contents(&source);
        if let rusqlite::Error::SqliteFailure(failure, _) = &source {
            match (failure.code, failure.extended_code) {
                (ErrorCode::DiskFull, _) | (_, SQLITE_IOERR_SHMSIZE) => return StoreError::DiskFull { doing },
                (ErrorCode::ReadOnly, _) => return StoreError::ReadOnly { doing },
                (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => return StoreError::Busy { doing },
                (_, SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC) => return StoreError::Unconfirmed { doing },
                _ => {}
            }
        }
        match damaged {
            true => StoreError::Damaged { why: format!("{doing} failed"), source: Some(source.into()) },
            false => StoreError::Failed { doing, source: source.into() },
        }
    }
}

/// True for a file that is not a database, or that has other tables, columns or types of values than this crate writes.
fn is_about_contents(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::*;
    match error {
        SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || matches!(failure.extended_code, SQLITE_IOERR_SHORT_READ | SQLITE_ERROR)
        }
        FromSqlConversionFailure(..)
        | IntegralValueOutOfRange(..)
        | Utf8Error(..)
        | QueryReturnedNoRows
        | InvalidColumnType(..)
        | SqlInputError { .. } => true,
        _ => false,
    }
}
