//! Tests of parts of the audit log: the oldest entries leave the database, and the chain still shows each change.

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_store::{AuditBroken, AuditHead, AuditPart, DataFolder, verify_audit_parts};
use rusqlite::Connection;
use serde_json::json;

use super::{commit, folder, listed, load, open, put};

/// Entries that stay in the database.
const KEEP: u64 = 20;

/// Commits this many acts, and rotates after each; returns the parts.
fn filled(data: &DataFolder, acts: u64) -> Vec<AuditPart> {
    let metadata = data.metadata();
    let act = |number| {
        commit(&*metadata, &put(&format!("k\u{e4}{number}"), json!({ "half": number as f64 / 3.0 }))).unwrap();
        metadata.rotate_audit(KEEP).unwrap()
    };
    (0..acts).filter_map(act).collect()
}

fn paths(parts: &[AuditPart]) -> Vec<PathBuf> {
    parts.iter().map(|part| part.path.clone()).collect()
}

fn tamper(path: &Path, sql: &str) {
    Connection::open(path.join("bulkhead.db")).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn the_oldest_entries_move_to_parts_that_the_chain_goes_through() {
    let path = folder();
    let data = open(path.path());
    let parts = filled(&data, 50);
    let bounds: Vec<(u64, u64)> = parts.iter().map(|part| (part.first, part.last.count)).collect();
    assert_eq!(bounds[..2], [(1, 2), (3, 4)]);
    let metadata = data.metadata();
    let whole = metadata.verify_audit(None).unwrap();
    assert_eq!((whole.head.count, whole.base.count), (50, 50 - KEEP));
    assert_eq!(metadata.audit(0, 1000).unwrap()[0].id, whole.base.count + 1);
    let all = verify_audit_parts(&paths(&parts), None).unwrap();
    assert_eq!((all.base, all.head), (AuditHead::default(), whole.base));
    let later = verify_audit_parts(&paths(&parts[1..]), None).unwrap();
    assert_eq!((later.base, later.head), (parts[0].last, whole.base), "it says from where on it was verified");
    drop((metadata, data));
    let data = open(path.path());
    assert_eq!(data.metadata().verify_audit(None).unwrap(), whole);
    assert_eq!(load(&data).documents.len(), 50);
    assert_eq!(data.metadata().rotate_audit(KEEP).unwrap(), None);
}

#[test]
fn a_changed_part_is_named_with_its_entry() {
    let path = folder();
    let parts = paths(&filled(&open(path.path()), 40));
    let text = fs::read_to_string(&parts[1]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cases = [
        (text.replacen("\"admin\"", "\"other\"", 1), "audit entry 3 was changed"),
        (format!("{}\n", lines[1]), "audit entries 3 to 3 were removed"),
        (format!("{}\n", lines[0]), "audit entries 4 to 4 were removed"),
        (format!("{}\n{}\n", lines[1], lines[0]), "audit entries 3 to 3 were removed"),
        (text[..text.len() - 20].into(), "the part cannot be read"),
        (text.replacen("\"hash\":\"", "\"hash\":\"x", 1), "the part cannot be read"),
    ];
    for (changed, expected) in cases {
        fs::write(&parts[1], changed).unwrap();
        let error = verify_audit_parts(&parts, None).unwrap_err();
        assert!(error.to_string().contains(expected) && error.path.starts_with(path.path()), "{error}");
    }
}

#[test]
fn a_head_that_was_noted_is_found_in_its_part() {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    let first = commit(&*metadata, &put("first", json!(1))).unwrap();
    let noted = AuditHead { count: 1, hash: first.hash };
    let parts = paths(&filled(&data, 40));
    assert!(matches!(metadata.verify_audit(Some(&noted)), Err(AuditBroken::InPart { id: 1, base: 20 })));
    verify_audit_parts(&parts, Some(&noted)).unwrap();
    let other = AuditHead { count: 1, hash: metadata.verify_audit(None).unwrap().head.hash };
    let error = verify_audit_parts(&parts, Some(&other)).unwrap_err();
    assert!(matches!(error.broken, AuditBroken::NotAsNoted { id: 1 }), "{error}");
    let error = verify_audit_parts(&parts[1..], Some(&noted)).unwrap_err();
    assert!(matches!(error.broken, AuditBroken::InPart { id: 1, base: 2 }), "{error}");
    let error = verify_audit_parts(&parts[1..], Some(&AuditHead { count: 2, ..other })).unwrap_err();
    assert!(matches!(error.broken, AuditBroken::NotAsNoted { id: 2 }), "{error}");
    let base = metadata.verify_audit(None).unwrap().base;
    metadata.verify_audit(Some(&base)).unwrap();
    let other = AuditHead { count: base.count, ..other };
    assert!(matches!(metadata.verify_audit(Some(&other)), Err(AuditBroken::NotAsNoted { id: 20 })));
}

#[test]
fn entries_that_something_else_removed_or_changed_are_still_noticed() {
    let cases = [
        ("DELETE FROM audit WHERE id <= 22", "audit entries 21 to 22 were removed"),
        ("UPDATE state SET base_count = 0, base_hash = zeroblob(32)", "audit entries 1 to 20 were removed"),
        ("UPDATE state SET base_hash = zeroblob(32)", "audit entry 21 does not follow"),
    ];
    for (sql, expected) in cases {
        let path = folder();
        filled(&open(path.path()), 41);
        tamper(path.path(), sql);
        let broken = open(path.path()).metadata().verify_audit(None).unwrap_err().to_string();
        assert!(broken.contains(expected), "{sql}: {broken}");
    }
}

#[test]
fn a_damaged_log_is_not_moved() {
    let path = folder();
    let data = open(path.path());
    filled(&data, KEEP);
    tamper(path.path(), "UPDATE audit SET who = 'nobody' WHERE id = 2");
    let metadata = data.metadata();
    (0..2).for_each(|number| drop(commit(&*metadata, &put("k", json!(number))).unwrap()));
    assert!(matches!(metadata.rotate_audit(KEEP), Err(AuditBroken::Changed { id: 2 })));
    assert_eq!(metadata.audit(0, 1000).unwrap().len(), 22);
    assert_eq!(fs::read_dir(path.path().join("audit")).unwrap().count(), 0);
}

#[test]
fn a_part_that_cannot_be_written_moves_nothing_and_is_written_later() {
    let path = folder();
    let data = open(path.path());
    filled(&data, KEEP);
    let parts = path.path().join("audit");
    fs::remove_dir(&parts).unwrap();
    fs::write(&parts, "not a folder").unwrap();
    let metadata = data.metadata();
    (0..2).for_each(|number| drop(commit(&*metadata, &put("k", json!(number))).unwrap()));
    assert!(matches!(metadata.rotate_audit(KEEP), Err(AuditBroken::Unreadable(_))));
    assert_eq!(metadata.audit(0, 1000).unwrap().len(), 22);
    fs::remove_file(&parts).unwrap();
    fs::create_dir(&parts).unwrap();
    assert_eq!(metadata.rotate_audit(KEEP).unwrap().unwrap().last.count, 2);
    metadata.verify_audit(None).unwrap();
    assert!(listed(&load(&data)).contains(&"k=1".into()));
}

#[test]
fn a_note_that_is_older_than_the_moved_entries_does_not_refuse_the_start() {
    let path = folder();
    let data = open(path.path());
    filled(&data, 5);
    let note = fs::read(path.path().join("audit.head")).unwrap();
    filled(&data, 40);
    drop(data);
    fs::write(path.path().join("audit.head"), note).unwrap();
    assert_eq!(load(&open(path.path())).revision.0, 45);
}

/// The host ended after it had written a part, and began again with another number of entries to keep.
#[test]
fn a_part_that_was_not_finished_is_not_repeated_by_the_next() {
    let path = folder();
    let data = open(path.path());
    filled(&data, 22);
    let place = |name: &str| path.path().join("audit").join(name);
    let (first, second) = (place("000000000001-000000000002.jsonl"), place("000000000003-000000000004.jsonl"));
    let (note, database) = (fs::read(path.path().join("audit.head")).unwrap(), path.path().join("bulkhead.db"));
    drop(data);
    let before = fs::read(&database).unwrap();
    filled(&open(path.path()), 2);
    assert!(first.exists() && second.exists());
    // The database as it was before the second rotation. A part of another log has entries that are in no other place.
    fs::write(&database, before).unwrap();
    fs::write(path.path().join("audit.head"), note).unwrap();
    let other = place("000000000003-000000000009.jsonl");
    fs::write(&other, "{}").unwrap();
    let data = open(path.path());
    let metadata = data.metadata();
    (0..30).for_each(|number| drop(commit(&*metadata, &put("k", json!(number))).unwrap()));
    let part = metadata.rotate_audit(40).unwrap().unwrap();
    assert_eq!((part.first, part.last.count), (3, 6));
    assert!(other.exists() && !second.exists());
    assert_eq!(verify_audit_parts(&[first, part.path], None).unwrap().head, metadata.verify_audit(None).unwrap().base);
}
