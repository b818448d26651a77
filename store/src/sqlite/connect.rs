//! Opening of the database: the mode of its file, the settings of its connections, and the migration to the current
//! version.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::DATABASE;
use crate::{StoreError, durable};

/// Migrations of the schema. The first `n` of them make version `n`.
const VERSIONS: &[M<'static>] = &[
    M::up(include_str!("../../migrations/1.sql")),
    M::up(include_str!("../../migrations/2.sql")),
    M::up(include_str!("../../migrations/3.sql")),
];
const DOING: &str = "opening the database";
/// Busy timeout, because a backup that the operator makes may lock the database for a moment.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    create(path).map_err(|e| StoreError::io(DOING, DATABASE, e))?;
    let mut connection = connect(path)?;
    write_ahead(&connection)?;
    migrate(&mut connection)?;
    Ok(connection)
}

pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(failed)?;
    Ok(connection)
}

/// Creates the file before SQLite does, so that other users cannot read it; SQLite gives the files beside it the same mode.
fn create(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.and_then(|_| durable::sync_parent(path)),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    let settings = "PRAGMA synchronous = FULL;
        PRAGMA foreign_keys = ON;
        PRAGMA trusted_schema = OFF;
        PRAGMA cell_size_check = ON;
        PRAGMA temp_store = MEMORY;";
    connection.execute_batch(settings).map_err(failed)?;
    Ok(connection)
}

fn write_ahead(connection: &Connection) -> Result<(), StoreError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        let text =
            "the file system of the data folder does not support the shared memory that this needs; use a local disk";
        return Err(StoreError::io(DOING, DATABASE, io::Error::new(io::ErrorKind::Unsupported, text)));
    }
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
    if !(0..=known).contains(&found) {
        return Err(StoreError::NewerVersion { found, known });
    }
    Migrations::from_slice(VERSIONS).to_latest(connection).map_err(|e| match e {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::database("migrating the database", err),
        other => StoreError::Damaged { why: "its version cannot be upgraded".into(), source: Some(other.into()) },
    })
}

fn failed(source: rusqlite::Error) -> StoreError {
    StoreError::database(DOING, source)
}
