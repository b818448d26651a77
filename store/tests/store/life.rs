//! Tests of the data folder in normal use: writes are there after a restart, and refused writes leave nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bulkhead_store::{AuditHead, Change, Digest, RenamedUsage, Revision, StoreError, UsageRow};
use serde_json::{Value, json};

use super::{act, commit, folder, listed, load, open, put, refusal, write};

#[test]
fn a_change_is_there_after_a_restart() {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    commit(&*metadata, &put("a", json!({ "x": 1.1, "y": ["ü", null] }))).unwrap();
    commit(&*metadata, &put("b", json!(2))).unwrap();
    commit(&*metadata, &put("a", json!(3))).unwrap();
    let writes = vec![write("b", None), write("c", Some(json!(4))), write("c", Some(json!(5))), write("none", None)];
    commit(&*metadata, &Change { writes, act: act("several"), revokes: false, renamed_usage: None }).unwrap();
    drop((metadata, data));
    let loaded = load(&open(path.path()));
    assert_eq!(listed(&loaded), ["a=3", "c=5"]);
    assert!(loaded.damaged.is_empty() && loaded.repaired.is_empty());
}

#[test]
fn the_audit_log_tells_each_change_and_its_chain_holds() {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    assert_eq!(metadata.verify_audit(None).unwrap().head, AuditHead::default());
    let entries: Vec<_> = (0..5).map(|i| commit(&*metadata, &put(&format!("k{i}"), json!(i))).unwrap()).collect();
    assert_eq!(metadata.audit(0, 100).unwrap(), entries);
    assert_eq!(metadata.audit(2, 2).unwrap(), entries[2..4]);
    assert_eq!(metadata.audit(u64::MAX, u64::MAX).unwrap(), []);
    assert!(entries.iter().all(|entry| entry.intact && entry.who == "admin" && entry.after == json!([1])));
    assert_eq!(entries[0].previous, Digest::default());
    assert!(entries.windows(2).all(|pair| pair[1].previous == pair[0].hash && pair[1].at >= pair[0].at));
    let noted = AuditHead { count: 3, hash: entries[2].hash };
    let summary = metadata.verify_audit(Some(&noted.to_string().parse().unwrap())).unwrap();
    assert_eq!(summary.head, AuditHead { count: 5, hash: entries[4].hash });
}

#[test]
fn what_could_not_be_read_again_is_refused() {
    let path = folder();
    let data = open(path.path());
    let metadata = data.metadata();
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    for change in [
        put("deep", deep.clone()),
        put("long", json!("x".repeat(17 << 20))),
        Change {
            writes: vec![write("fine", Some(json!(1)))],
            act: bulkhead_store::Act { after: deep, ..act("deep") },
            revokes: false,
            renamed_usage: None,
        },
    ] {
        let error = commit(&*metadata, &change).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. } | StoreError::Unstorable { .. }), "{error}");
    }
    assert!(load(&data).documents.is_empty());
    assert_eq!(metadata.verify_audit(None).unwrap().head.count, 0);
}

fn used(tenant: &str, model: &str, requests: u64) -> UsageRow {
    UsageRow { tenant: tenant.into(), model: model.into(), requests, fuel: 10 * requests, ..UsageRow::default() }
}

#[test]
fn usage_adds_up_over_restarts() {
    let path = folder();
    for _ in 0..2 {
        let metadata = open(path.path()).metadata();
        metadata.add_usage(&[used("a", "m", 2), used("b", "m", 1), used("a", "m", 3), used("a", "k", 1)]).unwrap();
        metadata.add_usage(&[]).unwrap();
    }
    let metadata = open(path.path()).metadata();
    assert_eq!(metadata.usage(None).unwrap().rows, [used("a", "k", 2), used("a", "m", 10), used("b", "m", 2)]);
    assert_eq!(metadata.usage(Some("b")).unwrap().rows, [used("b", "m", 2)]);
    assert_eq!(metadata.usage(Some("c")).unwrap().rows, []);
    metadata.add_usage(&[UsageRow { fuel: u64::MAX, ..used("b", "m", 0) }]).unwrap();
    metadata.add_usage(&[UsageRow { fuel: u64::MAX, ..used("b", "m", 0) }]).unwrap();
    assert_eq!(metadata.usage(Some("b")).unwrap().rows[0].fuel, i64::MAX as u64);
}

#[test]
fn usage_is_renamed_with_the_change_or_not_at_all() {
    let path = folder();
    let metadata = open(path.path()).metadata();
    metadata.add_usage(&[used("a", "m", 2), used("a", "k", 1), used("b", "m", 1)]).unwrap();
    let renamed = RenamedUsage { from: "a".into(), to: "a (before)".into() };
    let change = Change { renamed_usage: Some(renamed), ..put("a", json!(1)) };
    metadata.commit(Revision(7), &change).unwrap_err();
    assert_eq!(metadata.usage(Some("a")).unwrap().rows.len(), 2);
    commit(&*metadata, &change).unwrap();
    assert_eq!(metadata.usage(Some("a")).unwrap().rows, []);
    metadata.add_usage(&[used("a", "m", 5)]).unwrap();
    // Two tenants had the name before.
    commit(&*metadata, &change).unwrap();
    drop(metadata);
    let usage = open(path.path()).metadata().usage(None).unwrap();
    assert_eq!(usage.rows, [used("a (before)", "k", 1), used("a (before)", "m", 7), used("b", "m", 1)]);
    assert_eq!(usage.damaged, []);
}

#[test]
fn blobs_are_named_by_what_they_hold() {
    let path = folder();
    let data = open(path.path());
    let blobs = data.blobs();
    let (small, empty, large) = (b"abc".to_vec(), Vec::new(), vec![7; 3 << 20]);
    let digests: Vec<Digest> = [&small, &empty, &large].map(|bytes| blobs.put(bytes).unwrap()).into();
    assert_eq!(digests[0], Digest::of(b"abc"));
    assert_eq!(blobs.get(&digests[2]).unwrap(), large);
    assert_eq!(blobs.get(&digests[1]).unwrap(), empty);
    let mut sizes = vec![(digests[0], 3), (digests[1], 0), (digests[2], 3 << 20)];
    sizes.sort();
    assert_eq!(blobs.list().unwrap(), sizes);
    blobs.remove(&digests[0]).unwrap();
    blobs.remove(&digests[0]).unwrap();
    assert!(matches!(blobs.get(&digests[0]), Err(StoreError::BlobMissing(digest)) if digest == digests[0]));
}

#[test]
fn many_writers_of_one_blob_and_many_changes_at_once() {
    let path = folder();
    let data = open(path.path());
    let bytes = vec![9; 100_000];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (metadata, blobs, bytes) = (data.metadata(), data.blobs(), &bytes);
            scope.spawn(move || {
                blobs.put(bytes).unwrap();
                assert_eq!(blobs.get(&Digest::of(bytes)).unwrap(), *bytes);
                (0..5).for_each(|i| drop(commit(&*metadata, &put(&format!("{thread}-{i}"), json!(i))).unwrap()));
                metadata.verify_audit(None).unwrap();
            });
        }
    });
    assert_eq!(data.metadata().verify_audit(None).unwrap().head.count, 40);
    assert_eq!(load(&data).documents.len(), 40);
    assert_eq!(data.blobs().list().unwrap().len(), 1);
}

#[test]
fn secrets_and_tokens_are_made_once_and_only_for_us() {
    let parent = folder();
    let path = parent.path().join("not/yet");
    let data = open(&path);
    let (secret, token) = (data.secret("cache").unwrap(), data.token("admin").unwrap());
    assert_ne!(*data.secret("other").unwrap(), *secret);
    assert_eq!(token.text.len(), "bulkhead-admin-".len() + 64);
    assert_eq!(fs::read_to_string(&token.path).unwrap(), format!("{}\n", *token.text));
    drop(data);
    let data = open(&path);
    assert_eq!(*data.secret("cache").unwrap(), *secret);
    assert_eq!(*data.token("admin").unwrap().text, *token.text);
    drop(data);
    walk(&path, &mut |path, mode, is_folder| {
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{}", path.display());
    });
}

fn walk(path: &Path, check: &mut impl FnMut(&Path, u32, bool)) {
    let metadata = fs::symlink_metadata(path).unwrap();
    check(path, metadata.permissions().mode() & 0o777, metadata.is_dir());
    if metadata.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), check));
    }
}

#[test]
fn an_operators_own_token_is_taken_and_an_unusable_one_refused() {
    let path = folder();
    let data = open(path.path());
    let file = data.token("admin").unwrap().path;
    fs::write(&file, format!("{}\n", "t".repeat(40))).unwrap();
    assert_eq!(*data.token("admin").unwrap().text, "t".repeat(40));
    for wrong in ["", "short", &"t".repeat(300), &format!("{} {}", "t".repeat(20), "t".repeat(20))] {
        fs::write(&file, wrong).unwrap();
        assert!(data.token("admin").err().unwrap().to_string().contains("admin.token"), "{wrong}");
    }
    fs::write(&file, "t".repeat(40)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(data.token("admin").err().unwrap().to_string().contains("644"));
}

#[test]
fn what_was_staged_is_gone_when_it_is_dropped_or_the_host_was_killed() {
    let path = folder();
    let data = open(path.path());
    let (file, kept) = (data.staging_file().unwrap(), data.staging_folder().unwrap());
    fs::write(kept.path().join("inner"), "x").unwrap();
    drop(file);
    let kept = kept.keep();
    drop(data);
    open(path.path());
    assert!(!kept.exists());
    assert_eq!(fs::read_dir(path.path().join("staging")).unwrap().count(), 0);
}

#[test]
fn a_folder_has_one_host_at_a_time() {
    let path = folder();
    let data = open(path.path());
    let error = refusal(path.path());
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("`lock`") && text.contains(&format!("process {}", std::process::id())), "{text}");
    let metadata = data.metadata();
    drop(data);
    assert!(matches!(refusal(path.path()), StoreError::InUse { .. }), "what is still in use holds the lock");
    drop(metadata);
    open(path.path());
}

#[test]
fn folders_that_are_not_for_us_are_refused() {
    let path = folder();
    let (file, strangers, exposed) = (path.path().join("file"), path.path().join("home"), path.path().join("open"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&strangers).unwrap();
    fs::write(strangers.join("letter.txt"), "").unwrap();
    fs::create_dir(&exposed).unwrap();
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(refusal(&file), StoreError::Unwritable { .. }));
    assert!(refusal(&strangers).to_string().contains("letter.txt"));
    assert!(refusal(&exposed).to_string().contains("777"));
    assert!(refusal(Path::new("/proc/bulkhead")).to_string().contains("/proc/bulkhead"));
    assert_eq!(fs::read_dir(&strangers).unwrap().count(), 1);
}
