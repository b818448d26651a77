//! Tests of the data folder: normal use, damage, a full disk, and a process that is killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it misses by failing")]

mod damage;
mod disk;
mod feed;
mod kill;
mod life;
mod rotation;

use std::path::Path;

use bulkhead_store::{Act, AuditEntry, Change, DataFolder, Loaded, Metadata, Revision, StoreError, Write};
use serde_json::{Value, json};
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn open(path: &Path) -> DataFolder {
    DataFolder::open(path).unwrap()
}

fn refusal(path: &Path) -> StoreError {
    DataFolder::open(path).err().expect("the folder is refused")
}

fn act(subject: &str) -> Act {
    Act { who: "admin".into(), what: "test".into(), subject: subject.into(), before: Value::Null, after: json!([1]) }
}

fn put(key: &str, value: Value) -> Change {
    Change { writes: vec![write(key, Some(value))], act: act(key), revokes: false, renamed_usage: None }
}

fn write(key: &str, value: Option<Value>) -> Write {
    Write { kind: "thing", key: key.into(), value }
}

/// Commits a change on whatever revision the store has.
fn commit(metadata: &dyn Metadata, change: &Change) -> Result<AuditEntry, StoreError> {
    let mut revision = Revision::default();
    loop {
        match metadata.commit(revision, change) {
            Err(StoreError::Conflict { current, .. }) => revision = current,
            done => return done,
        }
    }
}

/// The documents as `key=value`, in the order in which they were first written.
fn listed(loaded: &Loaded) -> Vec<String> {
    loaded.documents.iter().map(|document| format!("{}={}", document.key, document.value)).collect()
}

fn load(data: &DataFolder) -> Loaded {
    data.metadata().load().unwrap()
}
