//! Tests of two hosts that share one store: the second one is the store itself, to which the test writes beside the control.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use bulkhead_bundle::Digest;
use bulkhead_store::{Act, Metadata, Revision, StoreError, Write};
use semver::Version;
use serde::Serialize;
use serde_json::{Map, json};
use tempfile::TempDir;

use super::state::{Record, bundle_key, model_key};
use super::*;
use crate::catalog::{Entry, Sharing};
use crate::sandbox::Sandbox;
use crate::telemetry::Metrics;
use crate::tenant::{Capability, Role};
use crate::worker::Workers;

/// A control, and the store as another host has it.
struct Two {
    control: Arc<Control>,
    other: Arc<dyn Metadata>,
    _folder: TempDir,
}

impl Two {
    fn new() -> Two {
        let folder = TempDir::new().unwrap();
        let (control, other) = open(folder.path());
        Two { control, other, _folder: folder }
    }

    /// Writes a document as the other host, or removes it.
    fn write<T: Record>(&self, key: &str, record: Option<&T>) {
        write(&*self.other, key, record);
    }

    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&BlockingControl) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, ControlError> {
        self.control.blocking(act).await
    }

    async fn catch_up(&self) {
        self.act(|control| control.catch_up(&mut control.lock())).await.unwrap();
    }
}

fn open(path: &Path) -> (Arc<Control>, Arc<dyn Metadata>) {
    let config = Config { dev: true, ..Config::default() };
    let metrics = Arc::new(Metrics::new().unwrap());
    let workers = Workers::in_process();
    let sandbox = Sandbox::new(&config, workers.clone()).unwrap();
    let folder = DataFolder::open(path).unwrap();
    let other = folder.metadata();
    let compute = Arc::new(Compute::new(&config.compute, metrics.clone()).unwrap());
    let (directory, catalog) = (Arc::default(), Arc::default());
    let activator = Activator { sandbox, workers, runners: None, metrics };
    let (control, damaged) = Control::open(&config, Parts { folder, directory, catalog, compute, activator }).unwrap();
    assert_eq!(damaged, []);
    (control, other)
}

fn write<T: Record>(other: &dyn Metadata, key: &str, record: Option<&T>) {
    let value = record.map(|record| serde_json::to_value(record).unwrap());
    let writes = vec![Write { kind: T::KIND, key: key.into(), value }];
    let (before, after) = (json!(null), json!(null));
    let act = Act { who: "other".into(), what: "test".into(), subject: key.into(), before, after };
    let change = bulkhead_store::Change { writes, act, revokes: false, renamed_usage: None };
    // The store has a revision already, and the refusal names it.
    let Err(StoreError::Conflict { current, .. }) = other.commit(Revision(0), &change) else { panic!("no conflict") };
    other.commit(current, &change).unwrap();
}

fn tenant(limits: impl Serialize) -> TenantRecord {
    let limits = serde_json::from_value(serde_json::to_value(limits).unwrap()).unwrap();
    TenantRecord { created: Timestamp::now(), disabled: false, limits }
}

#[tokio::test]
async fn an_act_is_decided_again_on_what_another_host_wrote() {
    let two = Two::new();
    two.write("acme", Some(&tenant(json!({ "models": 7 }))));
    let taken = two.act(|control| control.create_tenant(&"me".into(), "acme", Map::new())).await;
    assert!(matches!(taken, Err(ControlError::Exists { .. })), "{taken:?}");

    two.write("acme", Some(&tenant(json!({ "models": 8 }))));
    let limits = Map::from_iter([("concurrency".to_owned(), json!(3))]);
    let view = two.act(|control| control.set_limits(&"me".into(), "acme", limits)).await.unwrap();
    assert_eq!(json!(view.own_limits), json!({ "models": 8, "concurrency": 3 }), "neither host's act is lost");
    assert_eq!((view.limits.models, view.limits.concurrency), (8, 3));
    assert_eq!(two.other.audit(0, 1000).unwrap().iter().filter(|entry| entry.who == "me").count(), 1);
}

#[tokio::test]
async fn an_act_that_always_comes_too_late_is_refused_with_both_revisions() {
    let two = Two::new();
    let decide = |other: Arc<dyn Metadata>, conflicts: usize| {
        move |control: &BlockingControl| {
            let decisions = Cell::new(0);
            let done = control.commit("me", "test", "t", |state, change| {
                decisions.set(decisions.get() + 1);
                if decisions.get() <= conflicts {
                    write(&*other, "t", Some(&tenant(json!({ "models": decisions.get() }))));
                }
                let seen = state.tenants.get("t").map(|tenant| tenant.limits.clone());
                change.put("seen", tenant(seen.unwrap_or_default()));
                Ok(())
            });
            Ok((decisions.get(), done))
        }
    };
    let before = two.other.load().unwrap().revision;
    let (decisions, done) = two.act(decide(two.other.clone(), usize::MAX)).await.unwrap();
    assert_eq!(decisions, 5);
    let Err(ControlError::Store(StoreError::Conflict { based_on, current })) = done else { panic!("{done:?}") };
    assert_eq!((based_on, current), (Revision(before.0 + 4), Revision(before.0 + 5)));
    let documents = two.other.load().unwrap().documents;
    assert!(documents.iter().all(|document| document.key != "seen"), "nothing of a refused act is kept");

    let (decisions, done) = two.act(decide(two.other.clone(), 2)).await.unwrap();
    assert_eq!((decisions, done.is_ok()), (3, true));
    let documents = two.other.load().unwrap().documents;
    let seen = documents.iter().find(|document| document.key == "seen").unwrap();
    assert_eq!(seen.value["limits"], json!({ "models": 2 }), "the last decision saw the last change");
}

#[tokio::test]
async fn a_key_that_another_host_revokes_is_refused_here() {
    let two = Two::new();
    let new = NewKey { role: Role::Infer, note: String::new(), expires: None };
    let (key, record) = two.act(|control| control.create_key(&"me".into(), "default", new)).await.unwrap();
    two.catch_up().await;
    assert!(two.control.directory.caller(key.reveal()).is_ok());
    two.write(&key.id, Some(&KeyRecord { revoked: Some(Timestamp::now()), ..record }));
    two.catch_up().await;
    assert!(two.control.directory.caller(key.reveal()).is_err());
}

#[tokio::test]
async fn a_host_that_was_away_for_long_reads_everything() {
    let two = Two::new();
    for number in 0..1001 {
        two.write("busy", Some(&tenant(json!({ "models": number }))));
    }
    two.write::<TenantRecord>("default", None);
    two.catch_up().await;
    let names = two.act(|control| Ok(control.read(|state| state.tenants.keys().cloned().collect::<Vec<_>>()))).await;
    assert_eq!(names.unwrap(), ["busy"]);
    two.act(|control| control.set_disabled(&"me".into(), "busy", true)).await.unwrap();
}

fn bundle(contents: &str) -> StoredBundle {
    StoredBundle {
        tenant: "default".into(),
        name: "acme/digits".into(),
        version: Version::new(1, 0, 0),
        digest: Digest::of(contents.as_bytes()),
        model: Some("digits".into()),
        key: None,
        files: Default::default(),
        bytes: 0,
        uploaded: Timestamp::now(),
        by: "other".into(),
        state: BundleState::Active,
        uses: Default::default(),
        imports: Some(Default::default()),
    }
}

#[tokio::test]
async fn versions_that_another_host_replaces_or_removes_leave_the_catalog() {
    let two = Two::new();
    let key = bundle_key("default", "acme/digits", &Version::new(1, 0, 0));
    let entry = || two.control.catalog.entry("default", "digits", &Version::new(1, 0, 0));
    let set_failed = || {
        let failed = Entry::Failed("noted by the test".into());
        two.control.catalog.set("default", "digits", &Version::new(1, 0, 0), failed);
    };
    let is_noted = || matches!(entry(), Some(Entry::Failed(reason)) if &*reason == "noted by the test");
    two.write(&key, Some(&bundle("first")));
    two.catch_up().await;
    let loaded = async || {
        while matches!(entry(), Some(Entry::Loading)) {
            tokio::task::yield_now().await;
        }
    };
    assert!(entry().is_some(), "it is loaded, because the other host published it");
    loaded().await;

    set_failed();
    two.catch_up().await;
    assert!(is_noted(), "nothing changed");
    for contents in ["first", "second"] {
        set_failed();
        two.write(&key, Some(&bundle(contents)));
        two.catch_up().await;
        assert!(entry().is_some() && !is_noted(), "it is loaded again");
        loaded().await;
    }
    two.write::<StoredBundle>(&key, None);
    two.catch_up().await;
    assert!(entry().is_none());
}

/// A bundle that an earlier version of this program stored has no imports in its record, and narrower trust stops it all the
/// same.
#[tokio::test]
async fn imports_of_bundles_that_were_stored_without_them_are_read_at_the_start() {
    let folder = TempDir::new().unwrap();
    let key = bundle_key("default", "acme/digits", &Version::new(1, 0, 0));
    let (control, other) = open(folder.path());
    let manifest = "[bundle]\nname = \"acme/digits\"\nversion = \"1.0.0\"\n\
                    [[plugin]]\nname = \"one\"\ncomponent = \"one.wasm\"\nimports = [\"clocks\"]\n";
    control.blocking(move |control| Ok(control.blobs().put(manifest.as_bytes())?)).await.unwrap();
    let file = StoredFile { digest: Digest::of(manifest.as_bytes()), bytes: manifest.len() as u64 };
    let files = [("bundle.toml".to_owned(), file)].into();
    write(&*other, &key, Some(&StoredBundle { files, imports: None, ..bundle("first") }));
    drop((control, other));
    let (control, _other) = open(folder.path());
    let stored = control.blocking(|control| Ok(control.bundles(None))).await.unwrap();
    assert_eq!(stored[0].0.imports, Some([Capability::Clocks].into()));
    assert!(!Publisher::default().grants(&stored[0].0));
    let unknown = StoredBundle { imports: None, ..stored[0].0.clone() };
    assert!(!Publisher::default().grants(&unknown), "imports that nobody could read are not granted");
    let deleted = StoredBundle { state: BundleState::Deleted, ..unknown };
    assert!(Publisher::default().grants(&deleted), "a deleted version has no files that could import");
}

#[tokio::test]
async fn a_tenants_name_leaves_the_sharings_when_it_goes_and_before_it_comes() {
    let two = Two::new();
    let shared = |names: &[&str]| Sharing::Tenants(names.iter().map(|name| name.to_string()).collect());
    for (model, names) in [("one", &["old", "new"][..]), ("two", &["old"]), ("three", &["new", "kept"])] {
        let settings = ModelSettings { sharing: shared(names), ..ModelSettings::default() };
        two.write(&model_key("default", model), Some(&settings));
    }
    two.write("old", Some(&tenant(json!({}))));
    two.act(|control| control.create_tenant(&"me".into(), "new", Map::new())).await.unwrap();
    two.act(|control| control.delete_tenant(&"me".into(), "old")).await.unwrap();
    let models = two.act(|control| Ok(control.read(|state| state.models.clone()))).await.unwrap();
    let sharings: Vec<_> = models.into_values().map(|settings| settings.sharing).collect();
    assert_eq!(sharings, [Sharing::Nobody, shared(&["kept"]), Sharing::Nobody]);
}
