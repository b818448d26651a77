//! Hostile graphs: files and requests that would occupy a core or take memory beyond the limits. A case is a folder under
//! `tests/hostile/graphs`: a graph from `x` to `y`, made by `make.py`, and a `case.toml` with the shape of `x` and the
//! expected reply.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use system_tests::{Host, Reply, Shared, Start, repository};

/// Default limits, except for the time of a call.
const LIMITS: &str = "[call]\ntime = '3s'\n";

/// Bound on the CPU time of the host and its runner for one refused request and the honest calls beside it.
const CPU_TIME: Duration = Duration::from_secs(2);

/// Bound on the resident memory of the host and its runner after all cases; `call.memory` is 256 MiB.
const MEMORY: u64 = 900 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) shape: Vec<u64>,
    pub(crate) expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    status: u16,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    contains: Vec<String>,
}

static HOST: Shared = Shared::new(|| {
    let mut start = Start::default().config(LIMITS);
    for name in names()? {
        start = start.bundle(&manifest(&name), &[folder().join(&name).join("graph.onnx")]);
    }
    start.start()
});

pub(crate) fn folder() -> PathBuf {
    repository().join("tests/hostile/graphs")
}

fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder())? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn case(name: &str) -> Result<Case> {
    let text = fs::read_to_string(folder().join(name).join("case.toml")).with_context(|| name.to_owned())?;
    toml::from_str(&text).with_context(|| name.to_owned())
}

pub(crate) fn manifest(name: &str) -> String {
    format!(
        "[bundle]\nname = \"hostile/{name}\"\nversion = \"1.0.0\"\n[[graph]]\nname = \"graph\"\nfile = \"graph.onnx\"\n[pipeline]\nstages = [\"graph\"]\n"
    )
}

pub(crate) fn request(shape: &[u64]) -> Value {
    let elements = if shape.contains(&0) { 0 } else { shape.iter().product::<u64>() };
    let data = vec![0.5; usize::try_from(elements).expect("a small request")];
    json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": shape, "data": data }] })
}

/// CPU time that the host and its children have used.
fn cpu_time(host: &Host) -> Result<Duration> {
    // The host's own, and that of the children that have ended.
    let mut ticks = ticks_of(host.process_id(), 11..15)?;
    for child in host.children()? {
        ticks += ticks_of(child, 11..13)?;
    }
    // The file counts in clock ticks, which are 10 ms on Linux.
    Ok(Duration::from_millis(ticks * 10))
}

/// The sum of some fields of `/proc/PROCESS/stat`: the 11th and 12th are user and system time, the next two are those of
/// children.
fn ticks_of(process: u32, fields: std::ops::Range<usize>) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("no fields")?;
    let ticks = rest.split_whitespace().skip(fields.start).take(fields.len()).map(str::parse::<u64>);
    Ok(ticks.collect::<Result<Vec<_>, _>>()?.into_iter().sum())
}

#[test]
fn each_hostile_graph_is_refused_within_its_limits_and_holds_up_nobody() -> Result<()> {
    let host = HOST.get();
    let mut wrong = Vec::new();
    for name in names()? {
        let case = case(&name)?;
        let before = cpu_time(&host)?;
        let (reply, slowest) = beside_honest_calls(&host, || host.infer(&name, &request(&case.shape)))?;
        let took = cpu_time(&host)? - before;
        if let Err(error) = check(&case.expect, &reply?, took, slowest) {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    let memory = host.peak_memory_with_runners()?;
    ensure!(memory < MEMORY, "the host and its runner took {memory} bytes");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn check(expect: &Expect, reply: &Reply, took: Duration, slowest: Duration) -> Result<()> {
    ensure!(reply.status == expect.status, "{reply:?}");
    ensure!(reply.body.contains(&expect.code), "no {} in {reply:?}", expect.code);
    for part in &expect.contains {
        ensure!(reply.body.contains(part), "no \"{part}\" in {reply:?}");
    }
    ensure!(took < CPU_TIME, "the host used {took:?} of CPU time");
    ensure!(slowest < Duration::from_secs(5), "an honest call took {slowest:?}");
    Ok(())
}

/// Runs `run` while an honest client calls, and returns the duration of the slowest honest call too.
fn beside_honest_calls<T: Send>(host: &Host, run: impl FnOnce() -> T + Send) -> Result<(T, Duration)> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| -> Result<Duration> {
            let mut slowest = Duration::ZERO;
            loop {
                let last = done.load(Ordering::SeqCst);
                let began = Instant::now();
                let reply = host.infer("honest", &request(&[4]))?;
                ensure!(reply.status == 200, "an honest call got {reply:?}");
                slowest = slowest.max(began.elapsed());
                if last {
                    return Ok(slowest);
                }
            }
        });
        let result = run();
        done.store(true, Ordering::SeqCst);
        Ok((result, honest.join().expect("the honest client ended")?))
    })
}
