//! Tests of a database that is wrong as a whole: garbage, cut off, missing, too old, too new.

use std::fs;

use bulkhead_store::{AuditHead, Changes, Revision, StoreError};
use serde_json::json;

use super::*;

#[test]
fn garbage_and_torn_databases_say_what_to_do() {
    let garbage: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.fill(0x5a),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes[..100].fill(0),
        |bytes| bytes.truncate(5000),
    ];
    for (i, damage) in garbage.iter().enumerate() {
        let path = filled();
        let mut bytes = fs::read(database(&path)).unwrap();
        damage(&mut bytes);
        fs::write(database(&path), bytes).unwrap();
        let error = open_and_load(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{i}: {error}");
        assert!(
            error.to_string().contains("stored state is damaged") && error.to_string().contains("backup"),
            "{error}"
        );
    }
}

fn open_and_load(path: &TempDir) -> Result<bulkhead_store::Loaded, StoreError> {
    bulkhead_store::DataFolder::open(path.path())?.metadata().load()
}

#[test]
fn a_row_that_is_gone_is_noticed() {
    let path = filled();
    tamper(&path, "DELETE FROM documents WHERE key = 'k9'");
    let error = open_and_load(&path).unwrap_err().to_string();
    assert!(error.contains("it has 59 documents, and 60 were written"), "{error}");
}

#[test]
fn a_damaged_index_is_made_again() {
    let path = filled();
    let index = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_documents_1'";
    let connection = Connection::open(database(&path)).unwrap();
    let page = connection.query_row(index, [], |row| row.get::<_, u32>(0)).unwrap() as usize;
    connection.close().unwrap();
    let mut bytes = fs::read(database(&path)).unwrap();
    let place = bytes[(page - 1) * 4096..].windows(3).position(|window| window == b"k33").unwrap();
    bytes[(page - 1) * 4096 + place + 1] ^= 1;
    fs::write(database(&path), bytes).unwrap();
    let data = open(path.path());
    let loaded = load(&data);
    assert_eq!((loaded.documents.len(), loaded.damaged.len()), (THINGS, 0));
    assert!(loaded.repaired.iter().any(|repaired| repaired.what.contains("index")), "{:?}", loaded.repaired);
    commit(&*data.metadata(), &put("k33", json!(0))).unwrap();
    let loaded = load(&data);
    assert_eq!((loaded.documents.len(), loaded.repaired.len()), (THINGS, 0));
}

#[test]
fn an_emptied_missing_or_older_database_is_refused() {
    let path = filled();
    let old = fs::read(database(&path)).unwrap();
    let last = commit(&*open(path.path()).metadata(), &put("revoked", json!("a key"))).unwrap();
    let noted = AuditHead { count: last.id, hash: last.hash };
    let new = fs::read(database(&path)).unwrap();
    for older in [Some(&old[..]), Some(&[]), None] {
        fs::remove_file(database(&path)).unwrap();
        if let Some(bytes) = older {
            fs::write(database(&path), bytes).unwrap();
        }
        let error = refusal(path.path());
        assert!(matches!(error, StoreError::Behind { noted: 61, .. }), "{error}");
        assert!(error.to_string().contains("`audit.head`"), "{error}");
    }
    fs::write(database(&path), new).unwrap();
    open(path.path()).metadata().verify_audit(Some(&noted)).unwrap();
    fs::write(database(&path), old).unwrap();
    fs::remove_file(path.path().join("audit.head")).unwrap();
    assert_eq!(load(&open(path.path())).documents.len(), THINGS, "an older state can be wanted");
}

#[test]
fn a_database_of_another_history_is_refused_and_a_damaged_note_is_not_believed() {
    let (path, other) = (filled(), filled());
    commit(&*open(other.path()).metadata(), &put("more", json!(1))).unwrap();
    let own = fs::read(database(&path)).unwrap();
    fs::copy(database(&other), database(&path)).unwrap();
    assert!(refusal(path.path()).to_string().contains("number 60 of the database is a different one"));
    fs::write(database(&path), own).unwrap();
    for note in ["", "00", "00000000000000000099:0 0\n"] {
        fs::write(path.path().join("audit.head"), note).unwrap();
        assert_eq!(load(&open(path.path())).documents.len(), THINGS);
    }
}

#[test]
fn a_damaged_write_ahead_log_does_not_lose_changes_in_silence() {
    let (path, copy) = (filled(), folder());
    let data = open(path.path());
    (0..5).for_each(|i| drop(commit(&*data.metadata(), &put("late", json!(format!("late-{i}")))).unwrap()));
    for name in ["bulkhead.db", "bulkhead.db-wal", "audit.head"] {
        fs::copy(path.path().join(name), copy.path().join(name)).unwrap();
    }
    let sound = fs::read(copy.path().join("bulkhead.db-wal")).unwrap();
    flip(&copy.path().join("bulkhead.db-wal"), b"late-3");
    let error = refusal(copy.path());
    assert!(matches!(error, StoreError::Behind { noted: 65, .. }), "{error}");
    fs::write(copy.path().join("bulkhead.db-wal"), sound).unwrap();
    fs::copy(path.path().join("bulkhead.db"), copy.path().join("bulkhead.db")).unwrap();
    assert!(listed(&load(&open(copy.path()))).contains(&"late=\"late-4\"".into()));
}

#[test]
fn a_database_of_the_first_version_opens() {
    let path = folder();
    tamper(&path, include_str!("../data/version-1.sql"));
    let data = open(path.path());
    let loaded = load(&data);
    let expected =
        [r#"acme={"imports":[],"names":["acme/*"]}"#, r#"größe={"fuel":10000000000.0,"quote":"it's"}"#, "b=null"];
    assert_eq!(listed(&loaded), expected);
    let head = "2:cecef8057b701c549753007ca498f0b817e949c6354a82ebbb131863502f995d".parse().unwrap();
    assert_eq!(data.metadata().verify_audit(Some(&head)).unwrap().head, head);
    assert_eq!(data.metadata().usage(None).unwrap().rows[0].fuel, 123_456_789_012);
    assert_eq!(loaded.revision, Revision(2));
    assert_eq!(data.metadata().changes_since(Revision(1)).unwrap(), Changes::Unknown, "that version kept no changes");
    let entry = data.metadata().commit(loaded.revision, &put("new", json!(1))).unwrap();
    assert_eq!(entry.revision(), Revision(3));
    assert!(matches!(data.metadata().changes_since(loaded.revision).unwrap(), Changes::Known { .. }));
}

#[test]
fn a_database_of_a_newer_host_is_refused() {
    let path = filled();
    tamper(&path, "PRAGMA user_version = 7");
    let error = refusal(path.path());
    assert!(matches!(error, StoreError::NewerVersion { found: 7, .. }), "{error}");
    tamper(&path, "PRAGMA user_version = 3");
    assert_eq!(load(&open(path.path())).documents.len(), THINGS, "it was left as it was");
}
