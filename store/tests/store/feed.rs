//! Tests of revisions: a change that was decided on an older one is refused, and readers learn what changed since theirs.

use std::error::Error as _;

use bulkhead_store::{Change, Changes, DataFolder, Revision, StoreError};
use rusqlite::Connection;
use serde_json::json;

use super::{act, commit, folder, listed, load, open, put, write};

/// The changed documents as `key=value`, or `key` for one that was removed; with the revision.
fn changes(data: &DataFolder, since: Revision) -> (Revision, Vec<String>) {
    match data.metadata().changes_since(since).unwrap() {
        Changes::Known { revision, documents } => {
            let line = |(key, value): (String, Option<serde_json::Value>)| match value {
                Some(value) => format!("{key}={value}"),
                None => key,
            };
            (revision, documents.into_iter().map(|document| line((document.key, document.value))).collect())
        }
        Changes::Unknown => panic!("the changes since {since} are unknown"),
    }
}

#[test]
fn a_change_decided_on_another_revision_is_refused() {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    assert_eq!(load(&data).revision, Revision(0));
    for (number, key) in (1..).zip(["a", "b", "c"]) {
        let entry = metadata.commit(Revision(number - 1), &put(key, json!(number))).unwrap();
        assert_eq!(entry.revision(), Revision(number));
        assert_eq!(load(&data).revision, Revision(number));
    }
    let before = load(&data).documents;
    for wrong in [0, 2, 4, u64::MAX] {
        let error = metadata.commit(Revision(wrong), &put("a", json!("lost"))).unwrap_err();
        let both = (Revision(wrong), Revision(3));
        assert!(matches!(error, StoreError::Conflict { based_on, current } if (based_on, current) == both), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("revision {wrong}")) && text.contains("revision 3"), "{text}");
    }
    assert_eq!(load(&data).documents, before);
    assert_eq!(metadata.verify_audit(None).unwrap().head.count, 3);
    drop((metadata, data));
    assert_eq!(load(&open(path.path())).revision, Revision(3));
}

#[test]
fn of_writers_that_count_together_none_loses_a_step() {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    commit(&*metadata, &put("count", json!(0))).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| count_one(&data)));
        }
    });
    assert_eq!(listed(&load(&data)), ["count=40"]);
    assert_eq!(metadata.verify_audit(None).unwrap().head.count, 41);
}

/// Reads the number, and writes one more, until no other writer came between.
fn count_one(data: &DataFolder) {
    loop {
        let loaded = load(data);
        let next = loaded.documents[0].value.as_u64().unwrap() + 1;
        match data.metadata().commit(loaded.revision, &put("count", json!(next))) {
            Ok(_) => return,
            Err(StoreError::Conflict { based_on, current }) => assert!(based_on < current),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_feed_names_each_changed_document_once_as_it_is_now() {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    assert_eq!(changes(&data, Revision(0)), (Revision(0), vec![]));
    let several = vec![write("c", Some(json!(3))), write("a", Some(json!("new"))), write("none", None)];
    for change in [
        put("a", json!("old")),
        put("b", json!(2)),
        Change { writes: several, act: act("several"), revokes: false, renamed_usage: None },
        Change { writes: vec![write("b", None)], act: act("b"), revokes: false, renamed_usage: None },
        Change {
            writes: vec![write("b", Some(json!(5))), write("b", None)],
            act: act("twice"),
            revokes: false,
            renamed_usage: None,
        },
        put("c", json!(4)),
    ] {
        commit(&*metadata, &change).unwrap();
    }
    let all = [r#"a="new""#, "none", "b", "c=4"].map(String::from).to_vec();
    assert_eq!(changes(&data, Revision(0)), (Revision(6), all.clone()));
    assert_eq!(changes(&data, Revision(2)), (Revision(6), all.clone()));
    assert_eq!(changes(&data, Revision(3)), (Revision(6), all[2..].to_vec()));
    assert_eq!(changes(&data, Revision(5)), (Revision(6), all[3..].to_vec()));
    assert_eq!(changes(&data, Revision(6)), (Revision(6), vec![]));
    assert_eq!(metadata.changes_since(Revision(7)).unwrap(), Changes::Unknown, "there was no such revision");
    drop((metadata, data));
    assert_eq!(changes(&open(path.path()), Revision(2)), (Revision(6), all), "it is there after a restart");
}

#[test]
fn changes_that_are_too_old_or_damaged_are_unknown() {
    let path = folder();
    let data = open(path.path());
    (0..5).for_each(|i| drop(commit(&*data.metadata(), &put(&format!("k{i}"), json!(i))).unwrap()));
    drop(data);
    let file = path.path().join("bulkhead.db");
    let tamper = |sql: &str| Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    let known =
        |since| matches!(open(path.path()).metadata().changes_since(Revision(since)).unwrap(), Changes::Known { .. });
    assert!(known(0));
    tamper("UPDATE changes SET documents = replace(documents, 'k1', 'k9')");
    assert!(!known(1) && known(2));
    tamper("DELETE FROM changes WHERE revision = 4");
    assert!(!known(2) && !known(3) && known(4));
    tamper("UPDATE documents SET value = '7' WHERE key = 'k4'");
    assert!(!known(4) && known(5), "a damaged document is named by reading all");
}

#[test]
fn the_changes_of_the_last_thousand_revisions_are_kept() {
    let path = folder();
    drop(open(path.path()));
    let file = path.path().join("bulkhead.db");
    let data = open(path.path());
    for i in 0..1003 {
        data.metadata().commit(Revision(i), &put("k", json!(i))).unwrap();
    }
    assert_eq!(data.metadata().changes_since(Revision(2)).unwrap(), Changes::Unknown);
    assert_eq!(changes(&data, Revision(3)), (Revision(1003), vec!["k=1002".into()]));
    let kept = "SELECT count(*) FROM changes";
    assert_eq!(Connection::open(&file).unwrap().query_row(kept, [], |row| row.get(0)), Ok(1000));
}

#[test]
fn no_error_repeats_what_the_database_says() {
    let path = folder();
    commit(&*open(path.path()).metadata(), &put("a", json!(1))).unwrap();
    let file = path.path().join("bulkhead.db");
    let other = Connection::open(&file).unwrap();
    other.execute_batch("DROP TABLE changes").unwrap();
    let data = open(path.path());
    let error = commit(&*data.metadata(), &put("a", json!(2))).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let text = error.to_string().to_lowercase();
    assert!(!["sql", "table", "bulkhead.db"].iter().any(|word| text.contains(word)), "{text}");
    assert!(error.source().unwrap().to_string().contains("no such table"), "the log has the cause");
    assert_eq!(listed(&load(&data)), ["a=1"]);
}
