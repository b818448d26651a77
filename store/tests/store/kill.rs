//! A test that kills a writing process at random moments. All writes that the process acknowledged on its standard output
//! must be there afterwards, and each other write must be there whole or not at all.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bulkhead_store::{AuditHead, Change, Changes, DataFolder, Digest, Revision};
use serde_json::json;

use super::{act, commit, folder, load, open, write};

const WORKER: &str = "BULKHEAD_TEST_KILL_WORKER";
const KILLS: u64 = 50;
/// Number of items that the worker keeps; it removes the older ones.
const ITEMS: u64 = 5;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let path = folder();
    let mut acknowledged = 0;
    let mut head = AuditHead::default();
    for round in 0..KILLS {
        let lines = run_and_kill(path.path(), round);
        let data = open(path.path());
        for line in &lines {
            match line.split_once(' ') {
                Some(("change", noted)) => head = noted.parse().unwrap(),
                Some(("blob", digest)) => drop(data.blobs().get(&digest.parse().unwrap()).unwrap()),
                _ => continue,
            }
            acknowledged += 1;
        }
        check_changes(&data, &head);
        check_blobs(&data);
        assert_eq!(std::fs::read_dir(path.path().join("staging")).unwrap().count(), 0);
    }
    assert!(acknowledged > KILLS, "only {acknowledged} acknowledgements in {KILLS} rounds");
}

/// Runs a worker, kills it, and returns the lines that it printed. Even rounds kill it soon after its start, perhaps while
/// it opens the folder; odd rounds kill it while it writes.
fn run_and_kill(path: &Path, round: u64) -> Vec<String> {
    let mut worker = start(path);
    let (send, lines) = mpsc::channel();
    let output = BufReader::new(worker.stdout.take().unwrap());
    let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let mut seen = Vec::new();
    if round % 2 == 1 {
        seen.push(lines.iter().find(|line| line == "ready").expect("the worker opens the folder"));
    }
    std::thread::sleep(Duration::from_micros(random() % 50_000));
    worker.kill().unwrap();
    worker.wait().unwrap();
    reader.join().unwrap().unwrap();
    seen.extend(lines);
    seen
}

fn start(path: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::worker", "--nocapture"]).env(WORKER, path);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

fn check_changes(data: &DataFolder, acknowledged: &AuditHead) {
    let head = data.metadata().verify_audit(Some(acknowledged)).unwrap().head;
    let last = head.count;
    let changes = data.metadata().changes_since(Revision(acknowledged.count)).unwrap();
    assert!(matches!(changes, Changes::Known { revision, .. } if revision == Revision(last)), "{changes:?}");
    let loaded = load(data);
    assert!(loaded.damaged.is_empty() && loaded.repaired.is_empty(), "{loaded:?}");
    let mut found: Vec<(String, u64)> =
        loaded.documents.into_iter().map(|document| (document.key, document.value.as_u64().unwrap())).collect();
    found.sort();
    let mut expected: Vec<(String, u64)> =
        (last.saturating_sub(ITEMS - 1).max(1)..=last).map(|i| (format!("item {i:09}"), i)).collect();
    if last > 0 {
        expected.extend([("left".into(), last), ("right".into(), last)]);
    }
    assert_eq!(found, expected);
}

/// Checks that all blobs are whole, also those that were not acknowledged, and removes them to make room for the next
/// round.
fn check_blobs(data: &DataFolder) {
    let blobs = data.blobs();
    for (digest, size) in blobs.list().unwrap() {
        assert_eq!(blobs.get(&digest).unwrap().len() as u64, size);
        blobs.remove(&digest).unwrap();
    }
}

/// Not a test of its own, but the process that the other test starts and kills.
#[test]
fn worker() {
    let Some(path) = std::env::var_os(WORKER) else { return };
    let data = open(path.as_ref());
    println!("\nready");
    std::thread::scope(|scope| {
        scope.spawn(|| put_blobs(&data));
        commit_changes(&data);
    });
}

fn commit_changes(data: &DataFolder) {
    let metadata = data.metadata();
    for i in metadata.verify_audit(None).unwrap().head.count + 1.. {
        let mut writes = vec![write("left", Some(json!(i))), write(&format!("item {i:09}"), Some(json!(i)))];
        if i > ITEMS {
            writes.push(write(&format!("item {:09}", i - ITEMS), None));
        }
        writes.push(write("right", Some(json!(i))));
        let entry =
            commit(&*metadata, &Change { writes, act: act("all"), revokes: false, renamed_usage: None }).unwrap();
        println!("change {}", AuditHead { count: entry.id, hash: entry.hash });
    }
}

fn put_blobs(data: &DataFolder) {
    for i in 0u64.. {
        let bytes = [random(), i].map(u64::to_be_bytes).concat().repeat(1 + usize::from((random() % 4_096) as u16));
        let digest = data.blobs().put(&bytes).unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        println!("blob {digest}");
    }
}

/// A random number: the standard library seeds its hashers from the operating system.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}
