//! Tests with injected failures of the disk below SQLite.

use rusqlite::ffi::{self, SQLITE_FULL, SQLITE_IOERR_FSYNC};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{Act, DataFolder, Write};

fn sqlite(folder: &Path) -> Sqlite {
    drop(DataFolder::open(folder).unwrap());
    let file = std::fs::File::open(folder.join("lock")).unwrap();
    Sqlite::open(folder, Arc::new(Lock(file))).unwrap()
}

fn change(key: &str, length: usize) -> Change {
    let writes = vec![
        Write { kind: "thing", key: "first".into(), value: Some(json!(length)) },
        Write { kind: "thing", key: key.into(), value: Some(json!("x".repeat(length))) },
    ];
    let act = Act { who: "a".into(), what: "b".into(), subject: "c".into(), before: json!(1), after: json!(2) };
    Change { writes, act, revokes: false, renamed_usage: None }
}

/// Commits the change on the present revision.
fn commit(metadata: &dyn Metadata, change: &Change) -> Result<AuditEntry, StoreError> {
    metadata.commit(metadata.load()?.revision, change)
}

fn limit_pages(sqlite: &Sqlite, more: i64) {
    let connection = &locked(&sqlite.writer).connection;
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    connection.query_row(&format!("PRAGMA max_page_count = {}", pages + more), [], |_| Ok(())).unwrap();
}

#[test]
fn a_change_for_which_there_is_no_room_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let sqlite = sqlite(folder.path());
    commit(&sqlite, &change("small", 10)).unwrap();
    let before = sqlite.load().unwrap().documents;
    limit_pages(&sqlite, 2);
    for _ in 0..3 {
        let error = commit(&sqlite, &change("large", 100_000)).unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("full"), "{error}");
        assert_eq!(sqlite.load().unwrap().documents, before);
        assert_eq!(sqlite.verify_audit(None).unwrap().head.count, 1);
    }
    limit_pages(&sqlite, 1000);
    commit(&sqlite, &change("large", 100_000)).unwrap();
    assert_eq!(sqlite.load().unwrap().documents.len(), 3);
}

#[test]
fn after_a_write_that_was_not_confirmed_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let sqlite = sqlite(folder.path());
    let failed = locked(&sqlite.writer)
        .write("a test", |_| -> Result<(), _> { Err(StoreError::database("a test", failure(SQLITE_IOERR_FSYNC))) });
    assert!(matches!(failed, Err(StoreError::Unconfirmed { .. })));
    assert!(matches!(commit(&sqlite, &change("a", 1)), Err(StoreError::Unconfirmed { .. })));
    assert!(matches!(sqlite.add_usage(&[]), Err(StoreError::Unconfirmed { .. })));
    assert!(sqlite.load().unwrap().documents.is_empty(), "reading goes on");
    drop(sqlite);
    let data = DataFolder::open(folder.path()).unwrap();
    commit(&*data.metadata(), &change("a", 1)).unwrap();
}

#[test]
fn only_some_failures_of_a_commit_are_surely_undone() {
    assert!(is_surely_undone(&failure(SQLITE_FULL)));
    assert!(is_surely_undone(&failure(SQLITE_IOERR_WRITE)));
    assert!(!is_surely_undone(&failure(SQLITE_IOERR_FSYNC)));
    assert!(!is_surely_undone(&failure(ffi::SQLITE_IOERR_SHMSIZE)));
    assert!(!is_surely_undone(&failure(ffi::SQLITE_NOMEM)));
}

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

/// Acts wait for a rotation, and its entries are in memory at once.
#[test]
fn a_rotation_moves_a_tenth_within_a_bound() {
    let moved = [1, 100, 5000, 1 << 32].map(entries_at_once);
    assert_eq!(moved, [1, 10, 500, 1000]);
}
