//! Tests on a real file system that is full or turns read-only. Each test starts its process again in a mount namespace of
//! its own, which needs no privileges if user namespaces are allowed. If they are not, the test passes without a check, and
//! only the unit tests of the crate, which inject the same failures, cover them.

use std::fs;
use std::path::Path;
use std::process::Command;

use bulkhead_store::{Change, DataFolder, StoreError};
use serde_json::json;

use super::{commit, folder, listed, load, open, put};

const INSIDE: &str = "BULKHEAD_TEST_SMALL_DISK";
const CANNOT_MOUNT: i32 = 77;
const SCRIPT: &str = "mount -t tmpfs -o size=12m none \"$BULKHEAD_TEST_SMALL_DISK\" || exit 77
    exec \"$0\" --exact \"$1\" --nocapture";

/// The path of the small disk, inside the namespace. Outside, runs the test again inside, and returns `None`.
fn inside(test: &str) -> Option<std::path::PathBuf> {
    if let Some(path) = std::env::var_os(INSIDE) {
        return Some(path.into());
    }
    let path = folder();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT]);
    command.arg(std::env::current_exe().unwrap()).arg(test).env(INSIDE, path.path());
    match command.output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("1 passed"), "{text}");
        }
        Ok(output) if output.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Ok(output) if output.status.code() == Some(CANNOT_MOUNT) => eprintln!("no file system may be mounted here"),
        failed => eprintln!("no namespace may be made here: {failed:?}"),
    }
    None
}

#[test]
fn a_full_disk_loses_nothing_and_works_again_when_there_is_room() {
    let Some(disk) = inside("disk::a_full_disk_loses_nothing_and_works_again_when_there_is_room") else { return };
    let path = disk.join("data");
    let data = open(&path);
    let (metadata, blobs) = (data.metadata(), data.blobs());
    commit(&*metadata, &put("first", json!(1))).unwrap();
    let kept = blobs.put(b"kept").unwrap();

    let refused = (0..100u8).map(|i| blobs.put(&vec![i; 100_000])).find_map(Result::err).unwrap();
    assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused}");
    assert_eq!(fs::read_dir(path.join("staging")).unwrap().count(), 0);
    fill(&disk);
    let count = commit_until_full(&data);
    assert_eq!(load(&data).documents.len(), count);
    assert_eq!(metadata.verify_audit(None).unwrap().head.count, count as u64);
    assert_eq!(blobs.get(&kept).unwrap(), b"kept"[..]);
    assert!(blobs.list().unwrap().iter().all(|(digest, _)| blobs.get(digest).is_ok()));
    assert!(matches!(DataFolder::open(&disk.join("another")), Err(StoreError::DiskFull { .. })));

    fs::remove_file(disk.join("filler")).unwrap();
    commit(&*metadata, &put("last", json!(2))).unwrap();
    blobs.put(&[1; 1000]).unwrap();
    drop((metadata, blobs, data));
    let data = open(&path);
    assert_eq!(load(&data).documents.len(), count + 1);
    assert_eq!(data.metadata().verify_audit(None).unwrap().head.count, count as u64 + 1);
}

fn fill(disk: &Path) {
    let mut file = fs::File::create(disk.join("filler")).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok() {}
}

/// Commits documents until the disk is full. Returns the number of documents, with the one that the test wrote before.
fn commit_until_full(data: &DataFolder) -> usize {
    for i in 0..1000 {
        match commit(&*data.metadata(), &put(&format!("k{i}"), json!("x".repeat(5000)))) {
            Ok(_) => {}
            Err(StoreError::DiskFull { .. }) => return i + 1,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk is never full");
}

#[test]
fn rights_are_taken_away_on_a_full_disk_and_room_for_it_is_kept_again() {
    let Some(disk) = inside("disk::rights_are_taken_away_on_a_full_disk_and_room_for_it_is_kept_again") else { return };
    let path = disk.join("data");
    let reserve = || fs::metadata(path.join("reserve")).unwrap().len();
    let data = open(&path);
    let whole = reserve();
    fill(&disk);
    let count = commit_until_full(&data) - 1;
    assert_eq!(reserve(), whole, "other changes get nothing of it");

    let revoke = |i: usize| Change { revokes: true, ..put(&format!("r{i}"), json!("revoked")) };
    for i in 0..20 {
        commit(&*data.metadata(), &revoke(i)).unwrap();
        let large = put("large", json!("x".repeat(100_000)));
        assert!(matches!(commit(&*data.metadata(), &large), Err(StoreError::DiskFull { .. })), "{i}");
    }
    let left = reserve();
    assert!(left < whole, "{left}");
    assert_eq!(load(&data).documents.len(), count + 20);
    drop(data);
    let data = open(&path);
    assert_eq!(load(&data).documents.len(), count + 20, "a restart finds what was revoked");

    fs::remove_file(disk.join("filler")).unwrap();
    commit(&*data.metadata(), &put("later", json!(1))).unwrap();
    assert_eq!(reserve(), whole);
    data.metadata().verify_audit(None).unwrap();
}

#[test]
fn a_disk_that_turns_read_only_is_read_and_a_start_on_it_refused() {
    let Some(disk) = inside("disk::a_disk_that_turns_read_only_is_read_and_a_start_on_it_refused") else { return };
    let path = disk.join("data");
    let data = open(&path);
    commit(&*data.metadata(), &put("first", json!(1))).unwrap();
    let digest = data.blobs().put(b"blob").unwrap();
    drop(data);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap();
    assert!(status.success());
    let error = DataFolder::open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("Read-only file system"), "{error}");

    let remount = |how| Command::new("mount").args(["-o", how]).arg(&disk).status().unwrap();
    assert!(remount("remount,rw").success());
    let data = open(&path);
    assert_eq!(listed(&load(&data)), ["first=1"]);
    assert_eq!(data.blobs().get(&digest).unwrap(), b"blob"[..]);
}
