//! Tests of changes to the audit log by a program with write access to the database, and of how the chain reveals them.

use bulkhead_store::{AuditBroken, AuditHead};
use serde_json::json;

use super::*;

#[test]
fn the_first_broken_entry_is_named() {
    let cases = [
        ("UPDATE audit SET who = 'nobody' WHERE id = 7", "audit entry 7 was changed"),
        ("UPDATE audit SET at = at + 1 WHERE id = 7", "audit entry 7 was changed"),
        ("UPDATE audit SET after = '[2]' WHERE id = 60", "audit entry 60 was changed"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE id = 1", "audit entry 1 was changed"),
        ("UPDATE audit SET previous = x'00' WHERE id = 2", "audit entry 2 was changed"),
        ("UPDATE audit SET who = 'adm', what = 'intest' WHERE id = 5", "audit entry 5 was changed"),
        ("DELETE FROM audit WHERE id = 1", "audit entries 1 to 1 were removed"),
        ("DELETE FROM audit WHERE id BETWEEN 10 AND 12", "audit entries 10 to 12 were removed"),
        ("DELETE FROM audit WHERE id > 55", "ends with entry 55, but 60 were written"),
        ("DELETE FROM audit", "ends with entry 0, but 60 were written"),
        (
            "UPDATE audit SET id = 99 WHERE id = 8; UPDATE audit SET id = 8 WHERE id = 9; UPDATE audit SET id = 9 WHERE id = 99",
            "audit entry 8 was changed after it was written, or moved there",
        ),
        (
            "INSERT INTO audit SELECT 61, at, who, what, subject, before, after, previous, hash FROM audit WHERE id = 60",
            "audit entry 61 was changed after it was written, or moved there",
        ),
        ("UPDATE state SET audit_count = 59", "has 60 entries, but the host wrote 59"),
        ("UPDATE state SET audit_hash = zeroblob(32)", "the last audit entry (60) is not the one"),
    ];
    for (sql, expected) in cases {
        let path = filled();
        std::fs::remove_file(path.path().join("audit.head")).unwrap();
        tamper(&path, sql);
        let broken = open(path.path()).metadata().verify_audit(None).unwrap_err().to_string();
        assert!(broken.contains(expected), "{sql}: {broken}");
    }
}

#[test]
fn a_rewritten_log_shows_only_against_a_head_that_was_noted_elsewhere() {
    let (path, rewritten) = (filled(), filled());
    let entry = open(path.path()).metadata().audit(39, 1).unwrap().remove(0);
    let noted = AuditHead { count: 40, hash: entry.hash };
    let metadata = open(rewritten.path()).metadata();
    metadata.verify_audit(None).unwrap();
    assert!(matches!(metadata.verify_audit(Some(&noted)), Err(AuditBroken::NotAsNoted { id: 40 })));
    let further = AuditHead { count: 100, ..noted };
    assert!(matches!(metadata.verify_audit(Some(&further)), Err(AuditBroken::CutOff { found: 60, written: 100 })));
}

#[test]
fn a_damaged_entry_is_shown_and_marked() {
    let path = filled();
    flip(&database(&path), b"testk30");
    let entries = open(path.path()).metadata().audit(0, 1000).unwrap();
    let damaged: Vec<u64> = entries.iter().filter(|entry| !entry.intact).map(|entry| entry.id).collect();
    assert_eq!((entries.len(), damaged), (THINGS, vec![31]));
}

#[test]
fn nothing_is_added_to_a_log_whose_end_is_not_the_right_one() {
    let path = filled();
    let data = open(path.path());
    tamper(&path, "DELETE FROM audit WHERE id = 60");
    let error = commit(&*data.metadata(), &put("k1", json!("new"))).unwrap_err();
    assert!(matches!(error, StoreError::AuditEnd { .. }), "{error}");
    assert_eq!(load(&data).documents.len(), THINGS);
    assert!(!listed(&load(&data)).contains(&"k1=\"new\"".into()), "nothing of the change stays");
}
