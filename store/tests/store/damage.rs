//! Tests with flipped bits, files that are cut off, and wrong databases.

mod audit;
mod bits;
mod database;

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_store::{Digest, StoreError, UsageRow};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::{commit, folder, listed, load, open, put, refusal};

const THINGS: usize = 60;

/// A data folder that was filled and closed in good order.
fn filled() -> TempDir {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    for i in 0..THINGS {
        let text = format!("needle-{i} {}", "straw ".repeat(40));
        commit(&*metadata, &put(&format!("k{i}"), json!({ "n": i, "text": text }))).unwrap();
    }
    metadata.add_usage(&[used("a"), used("b"), used("c")]).unwrap();
    data.blobs().put(b"a blob of some bytes").unwrap();
    data.secret("cache").unwrap();
    path
}

fn used(tenant: &str) -> UsageRow {
    UsageRow { tenant: tenant.into(), model: "digits".into(), requests: 5, fuel: 6_000_000, ..UsageRow::default() }
}

fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("bulkhead.db")
}

/// Changes the database with SQL, without the store.
fn tamper(folder: &TempDir, sql: &str) {
    Connection::open(database(folder)).unwrap().execute_batch(sql).unwrap();
}

/// Flips a bit in the last occurrence of the bytes in the file.
fn flip(file: &Path, what: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(what.len()).rposition(|window| window == what).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_blob_that_is_cut_off_or_flipped_is_never_handed_out() {
    let path = filled();
    let digest = Digest::of(b"a blob of some bytes");
    let file = path.path().join("blobs").join(digest.hex());
    let blobs = open(path.path()).blobs();
    let damages: [fn(&mut Vec<u8>); 4] = [|b| b.truncate(7), |b| b[3] ^= 4, |b| b.clear(), |b| b.push(0)];
    for damage in damages {
        let mut bytes = b"a blob of some bytes".to_vec();
        damage(&mut bytes);
        fs::write(&file, &bytes).unwrap();
        let error = blobs.get(&digest).unwrap_err();
        assert!(matches!(error, StoreError::BlobDamaged { bytes: n, .. } if n == bytes.len() as u64), "{error}");
        assert!(error.to_string().contains(&digest.hex()));
        blobs.put(b"a blob of some bytes").unwrap();
        assert_eq!(blobs.get(&digest).unwrap(), b"a blob of some bytes"[..], "putting it again heals it");
    }
}

#[test]
fn a_damaged_document_is_named_and_the_others_load() {
    let path = filled();
    flip(&database(&path), b"needle-17 ");
    let data = open(path.path());
    let loaded = load(&data);
    assert_eq!(loaded.documents.len(), THINGS - 1);
    assert!(!listed(&loaded).iter().any(|line| line.starts_with("k17=")));
    assert_eq!((loaded.damaged[0].kind.as_str(), loaded.damaged[0].key.as_str()), ("thing", "k17"));
    assert!(loaded.damaged[0].to_string().contains("k17"));
    commit(&*data.metadata(), &put("k17", json!(1))).unwrap();
    assert!(load(&data).damaged.is_empty(), "writing it again heals it");
}

#[test]
fn a_document_under_another_name_is_damaged() {
    let path = filled();
    tamper(
        &path,
        "UPDATE documents SET key = 'admin' WHERE key = 'k3'; UPDATE documents SET hash = NULL WHERE key = 'k4'",
    );
    let loaded = load(&open(path.path()));
    let names: Vec<&str> = loaded.damaged.iter().map(|damaged| damaged.key.as_str()).collect();
    assert_eq!(names, ["admin", "k4"]);
    assert_eq!(loaded.documents.len(), THINGS - 2);
}

#[test]
fn usage_that_is_not_what_was_counted_is_left_out_and_counting_goes_on() {
    let path = filled();
    tamper(&path, "UPDATE usage SET requests = 1000005 WHERE tenant = 'b'");
    let metadata = open(path.path()).metadata();
    let usage = metadata.usage(None).unwrap();
    assert_eq!(usage.rows, [used("a"), used("c")]);
    assert!(usage.damaged[0].key.contains('b') && usage.damaged[0].why.contains("1000005"), "{:?}", usage.damaged);
    metadata.add_usage(&[used("b")]).unwrap();
    metadata.add_usage(&[used("b")]).unwrap();
    let usage = metadata.usage(Some("b")).unwrap();
    assert_eq!((usage.rows[0].requests, usage.rows.len(), usage.damaged.len()), (10, 1, 1));
}

#[test]
fn a_damaged_secret_is_refused() {
    let path = filled();
    let file = path.path().join("cache.secret");
    let data = open(path.path());
    for place in [0, 31, 32, 63] {
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(&file, &bad).unwrap();
        assert!(data.secret("cache").unwrap_err().to_string().contains("cache.secret"));
        fs::write(&file, &good).unwrap();
    }
    fs::write(&file, "").unwrap();
    assert!(matches!(data.secret("cache"), Err(StoreError::SecretUnusable { .. })));
    fs::remove_file(&file).unwrap();
    data.secret("cache").unwrap();
}
