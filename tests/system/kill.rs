//! A host that is killed at random moments. After a restart every acknowledged change is present, and every other change is
//! present as a whole or not at all. Each round starts from the state that the previous one left.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Start, wait_until};

const KILLS: usize = 200;
/// Few threads and little logging make a start short.
const CONFIG: &str = "[compute]\nconcurrency = 1\nthreads = 1\n[log]\nlevel = 'warn'\n";

/// Outcome of a requested change, as far as the client knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Done,
    /// The request was sent, and the host was killed before it replied.
    Asked,
}

#[derive(Default)]
struct Ledger {
    /// Uploads by version. A version in `deleted` was deleted after its upload.
    uploaded: BTreeMap<String, Known>,
    deleted: BTreeMap<String, Known>,
    /// Versions that the label may name; "" if it may be absent.
    label: Vec<String>,
    keys: Vec<String>,
    revoked: BTreeMap<String, Known>,
    acknowledged: usize,
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

fn start(host: Option<&Host>) -> Result<Host> {
    let start = Start::default().config(CONFIG);
    host.map_or(Start::default().config(CONFIG), |host| start.data_of(host)).start()
}

/// A bundle that only lends a stage, so that its upload needs no activation.
fn library(version: &str) -> Draft {
    let draft = Draft::identity("acme/library", version).replace("[pipeline]\nstages = [\"stage\"]\n", "");
    draft.file("stage.wasm", format!("of version {version}"))
}

/// Sends one change after the other until the host is gone.
fn work(host: &Host, acme: &Publisher, round: usize, ledger: &Mutex<Ledger>) -> Result<()> {
    for step in 0.. {
        let version = format!("1.{round}.{step}");
        let draft = library(&version);
        ledger.lock().unwrap().uploaded.insert(version.clone(), Known::Asked);
        acme.push(host, &draft)?.ok()?;
        done(ledger, |ledger| ledger.uploaded.insert(version.clone(), Known::Done));
        if step % 2 == 0 {
            ledger.lock().unwrap().deleted.insert(version.clone(), Known::Asked);
            host.admin("DELETE", &format!("/v1/bundles/{}", draft.digest()), &Value::Null)?.ok()?;
            done(ledger, |ledger| ledger.deleted.insert(version, Known::Done));
        }
    }
    Ok(())
}

fn work_on_keys(host: &Host, ledger: &Mutex<Ledger>) -> Result<()> {
    for step in 0.. {
        let key = host.key("default", "infer")?;
        done(ledger, |ledger| ledger.keys.push(key.clone()));
        let version = format!("{}.0.0", 1 + step % 2);
        ledger.lock().unwrap().label.push(version.clone());
        host.admin("PUT", "/v1/models/echo/labels/stable", &json!({ "version": version }))?.ok()?;
        done(ledger, |ledger| ledger.label = vec![version]);
        if step % 2 == 0 {
            let id = key.split('_').nth(1).context("no id")?;
            ledger.lock().unwrap().revoked.insert(key.clone(), Known::Asked);
            host.admin("DELETE", &format!("/v1/tenants/default/keys/{id}"), &Value::Null)?.ok()?;
            done(ledger, |ledger| ledger.revoked.insert(key, Known::Done));
        }
    }
    Ok(())
}

fn done<T>(ledger: &Mutex<Ledger>, note: impl FnOnce(&mut Ledger) -> T) {
    let mut ledger = ledger.lock().unwrap();
    note(&mut ledger);
    ledger.acknowledged += 1;
}

/// Checks that every acknowledged change is present, and that every stored file belongs to a bundle and is complete.
/// Returns the version that the label names.
fn check(host: &Host, ledger: &Ledger) -> Result<String> {
    let bundles = host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?.json();
    let bundles = bundles.as_array().context("no list")?;
    let state = |version: &str| {
        let found = bundles.iter().find(|bundle| bundle["name"] == "acme/library" && bundle["version"] == *version);
        found.and_then(|bundle| bundle["state"].as_str())
    };
    for (version, known) in &ledger.uploaded {
        let wanted: &[Option<&str>] = match (known, ledger.deleted.get(version)) {
            (Known::Done, None) => &[Some("active")],
            (Known::Done, Some(Known::Done)) => &[Some("deleted")],
            (Known::Done, Some(Known::Asked)) => &[Some("active"), Some("deleted")],
            (Known::Asked, _) => &[None, Some("active")],
        };
        ensure!(wanted.contains(&state(version)), "{version}: {:?} instead of {wanted:?}", state(version));
    }
    check_files(host, bundles)?;
    let model = host.admin("GET", "/v1/models/echo", &Value::Null)?.ok()?.json();
    let label = model["routing"]["labels"]["stable"].as_str().unwrap_or_default();
    ensure!(ledger.label.iter().any(|known| known == label), "{label}: {:?}", ledger.label);
    for key in &ledger.keys {
        let status = host.ask_as(key, "GET", "/v2/models/none", &Value::Null)?.status;
        let wanted: &[u16] = match ledger.revoked.get(key) {
            None => &[404],
            Some(Known::Done) => &[401],
            Some(Known::Asked) => &[404, 401],
        };
        ensure!(wanted.contains(&status), "{key}: {status} instead of {wanted:?}");
    }
    Ok(label.to_owned())
}

fn check_files(host: &Host, bundles: &[Value]) -> Result<()> {
    let kept = bundles.iter().filter(|bundle| bundle["state"] != "deleted");
    let files = kept.flat_map(|bundle| bundle["files"].as_object().into_iter().flatten());
    let digest = |text: &str| text.trim_start_matches("sha256:").to_owned();
    let named: BTreeSet<String> = files.filter_map(|(_, file)| file["digest"].as_str().map(digest)).collect();
    let there: BTreeSet<String> = host.files_of("blobs")?.iter().map(|name| digest(name)).collect();
    ensure!(named == there, "missing blobs: {:?}; blobs of no bundle: {:?}", &named - &there, &there - &named);
    for name in host.files_of("blobs")? {
        let content = std::fs::read(host.data().join("blobs").join(&name))?;
        let hash = bulkhead_bundle::Digest::of(&content).to_string();
        ensure!(digest(&hash) == digest(&name), "{name} is not whole");
    }
    ensure!(host.files_of("staging")?.is_empty(), "something is left of what was killed");
    Ok(())
}

#[test]
fn what_was_acknowledged_survives_every_kill() -> Result<()> {
    let mut host = start(None)?;
    let acme = Publisher::trusted("acme", &host)?;
    for version in ["1.0.0", "2.0.0"] {
        acme.push(&host, &Draft::identity("acme/echo", version))?.ok()?;
    }
    let (mut acknowledged, mut starts) = (0, Duration::ZERO);
    let mut ledger = Ledger { label: vec![String::new()], ..Ledger::default() };
    for round in 0..KILLS {
        let ledger_of_round = Mutex::new(ledger);
        std::thread::scope(|scope| {
            let (host, acme, ledger) = (&host, &acme, &ledger_of_round);
            // Each ends with an error when the host is gone.
            scope.spawn(move || work(host, acme, round, ledger));
            scope.spawn(move || work_on_keys(host, ledger));
            std::thread::sleep(Duration::from_micros(random(60_000)));
            host.kill_now()
        })?;
        ledger = ledger_of_round.into_inner().unwrap();
        acknowledged += ledger.acknowledged;
        if round % 4 == 0 {
            let during = Duration::from_micros(random(100_000));
            Start::default().config(CONFIG).data_of(&host).start_and_kill(during)?;
        }
        let began = Instant::now();
        host = start(Some(&host))?;
        starts += began.elapsed();
        let label = check(&host, &ledger).with_context(|| format!("after kill {round}"))?;
        ledger = Ledger { label: vec![label], ..Ledger::default() };
    }
    println!("{KILLS} kills, {acknowledged} acknowledged changes, a start took {:?}", starts / u32::try_from(KILLS)?);
    assert!(acknowledged > KILLS, "only {acknowledged} acknowledged changes");
    host.admin("GET", "/v1/audit/verify", &Value::Null)?.ok()?;
    wait_until(|| Ok(host.get("/v2/health/ready")?.status == 200))?;
    host.version("", "echo").map(drop)
}
