//! Activating a plugin again, from what this host kept of the first time.

#![expect(clippy::unwrap_used, reason = "a test says what it misses by failing")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead::cache::Cache;
use bulkhead::config::Config;
use bulkhead::sandbox::{ActivationError, Initialisation, Plugin, PluginSource, Sandbox};
use bulkhead::tenant::Budget;
use bulkhead::tensor::{Datatype, Tensor};
use bulkhead::worker::Workers;
use tempfile::TempDir;

const ROOM: u64 = 1 << 30;

/// A plugin that gives back what it gets.
fn source(bundle: &str) -> PluginSource {
    let components = std::env::var_os("BULKHEAD_COMPONENTS").expect("run the tests with `cargo xtask test`");
    PluginSource {
        model: bundle.into(),
        stage: "stage".into(),
        component: fs::read(Path::new(&components).join("identity.wasm")).unwrap().into(),
        config: serde_json::json!({}),
        initialisation: Initialisation::Snapshot,
        grants: Default::default(),
        assets: Default::default(),
        graphs: Default::default(),
    }
}

fn cache(folder: &TempDir) -> Cache {
    Cache::open(folder.path().join("cache"), [1; 32], ROOM)
}

fn sandbox(workers: Workers) -> Sandbox {
    let mut config = Config::default();
    config.compute.concurrency = 2;
    Sandbox::new(&config, workers).unwrap()
}

/// A host that compiles.
fn compiling(folder: &TempDir) -> Sandbox {
    sandbox(Workers::in_process().with_cache(cache(folder)))
}

/// A host that cannot compile: its children are this test program, which answers no job.
fn not_compiling(folder: &TempDir) -> Sandbox {
    let workers = Workers::children(&Config::default().compile, tokio::runtime::Handle::current());
    sandbox(workers.with_cache(cache(folder)))
}

fn entries(folder: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(folder.path().join("cache")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

async fn answers(plugin: &Plugin) {
    let config = Config::default();
    for _ in 0..3 {
        let x = Tensor::new(Datatype::Fp32, vec![2], vec![1, 2, 3, 4, 5, 6, 7, 8].into()).unwrap();
        let mut budget = Budget::new(&config.call);
        let request: Arc<str> = "test".into();
        let outputs = plugin.call(&request, vec![("input".into(), x)], &Vec::new(), &mut budget).await.0.unwrap();
        assert_eq!(&outputs[0].1.data()[..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

#[tokio::test]
async fn the_next_start_is_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let without = not_compiling(&folder).activate(source("a")).await;
    assert!(matches!(without, Err(ActivationError::Worker { step: "compiling it", .. })), "{:?}", without.err());
    let first = compiling(&folder).activate(source("a")).await.unwrap();
    for bundle in ["a", "another bundle with the same plugin"] {
        let again = not_compiling(&folder).activate(source(bundle)).await.unwrap();
        assert_eq!(again.signature(), first.signature());
        assert_eq!(again.initialisation(), Initialisation::Snapshot);
        answers(&again).await;
    }
    let other = PluginSource { config: serde_json::json!({ "shape": [2] }), ..source("a") };
    assert!(not_compiling(&folder).activate(other).await.is_err(), "another configuration is another plugin");
}

#[tokio::test]
async fn an_entry_that_was_changed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    compiling(&folder).activate(source("a")).await.unwrap();
    let entry = entries(&folder).pop().unwrap();
    let good = fs::read(&entry).unwrap();
    for place in [0, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(&entry, bad).unwrap();
        assert!(not_compiling(&folder).activate(source("a")).await.is_err(), "byte {place}");
        assert!(!entry.exists());
        answers(&compiling(&folder).activate(source("a")).await.unwrap()).await;
        assert!(entry.exists());
    }
}

#[tokio::test]
async fn other_grants_are_another_entry() {
    let folder = tempfile::tempdir().unwrap();
    compiling(&folder).activate(source("a")).await.unwrap();
    let refused = PluginSource { grants: [bulkhead::tenant::Capability::Assets].into_iter().collect(), ..source("a") };
    assert!(not_compiling(&folder).activate(refused).await.is_err());
}

#[tokio::test]
async fn two_activations_at_once_leave_one_good_entry() {
    let folder = tempfile::tempdir().unwrap();
    let host = compiling(&folder);
    let (one, two) = tokio::join!(host.activate(source("a")), host.activate(source("b")));
    answers(&one.unwrap()).await;
    answers(&two.unwrap()).await;
    assert_eq!(entries(&folder).len(), 1);
    answers(&not_compiling(&folder).activate(source("a")).await.unwrap()).await;
}

#[tokio::test]
async fn without_a_usable_folder_it_only_takes_longer() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let workers = Workers::in_process().with_cache(Cache::open(file.path().to_owned(), [1; 32], ROOM));
    answers(&sandbox(workers).activate(source("a")).await.unwrap()).await;
}
