//! Bits flipped all over the database, one at a time. Each must give an error or be reported by name, and never give a
//! wrong value.

use std::collections::HashMap;
use std::fs;

use bulkhead_store::{AuditEntry, Changes, DataFolder, Document, Loaded, Revision, StoreError, UsageRow};

use super::*;

/// Distance between the flipped bytes: a prime, so that they fall on varying offsets within a page.
const STEP: usize = 331;

/// A revision that is not the first, to read the changes after it.
const SOME: Revision = Revision(7);

struct Truth {
    documents: HashMap<String, Document>,
    entries: Vec<AuditEntry>,
    usage: Vec<UsageRow>,
    changes: Changes,
}

#[test]
fn no_flipped_bit_gives_a_wrong_value() {
    let path = filled();
    let truth = truth(&open(path.path()));
    let sound = fs::read(database(&path)).unwrap();
    let note = fs::read(path.path().join("audit.head")).unwrap();
    let (mut refused, mut named) = (0, 0);
    for place in (0..sound.len()).step_by(STEP) {
        let mut bytes = sound.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(database(&path), bytes).unwrap();
        fs::write(path.path().join("audit.head"), &note).unwrap();
        let _ = fs::remove_file(path.path().join("bulkhead.db-wal"));
        match DataFolder::open(path.path()).and_then(|data| Ok((data.metadata().load()?, data))) {
            Err(error) => {
                assert_says_what_to_do(place, &error);
                refused += 1;
            }
            Ok((loaded, data)) => {
                named += loaded.damaged.len();
                check(place, &loaded, &data, &truth);
            }
        }
    }
    assert!(refused > 0 && named > 0, "{refused} {named}");
}

fn truth(data: &DataFolder) -> Truth {
    let metadata = data.metadata();
    Truth {
        documents: load(data).documents.into_iter().map(|document| (document.key.clone(), document)).collect(),
        entries: metadata.audit(0, 1000).unwrap(),
        usage: metadata.usage(None).unwrap().rows,
        changes: metadata.changes_since(SOME).unwrap(),
    }
}

fn assert_says_what_to_do(place: usize, error: &StoreError) {
    use StoreError::*;
    assert!(matches!(error, Damaged { .. } | NewerVersion { .. } | Behind { .. }), "{place}: {error}");
}

fn check(place: usize, loaded: &Loaded, data: &DataFolder, truth: &Truth) {
    let metadata = data.metadata();
    assert_eq!(loaded.documents.len() + loaded.damaged.len(), truth.documents.len(), "{place}");
    for document in &loaded.documents {
        assert_eq!(truth.documents.get(&document.key), Some(document), "{place}");
    }
    if metadata.verify_audit(None).is_ok() {
        assert_eq!(metadata.audit(0, 1000).unwrap(), truth.entries, "{place}");
    }
    if let Ok(changes) = metadata.changes_since(SOME) {
        assert!(changes == truth.changes || changes == Changes::Unknown, "{place}: {changes:?}");
    }
    if let Ok(usage) = metadata.usage(None) {
        assert!(usage.rows.iter().all(|row| truth.usage.contains(row)), "{place}: {:?}", usage.rows);
        assert!(usage.rows.len() == truth.usage.len() || !usage.damaged.is_empty(), "{place}");
    }
}
