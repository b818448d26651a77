//! Native graphs run in a process for each tenant, which the host ends when a call is over its time, and starts again.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Reply, Start, repository, wait_until};

/// Limits that one operator of `slow-operator.onnx` exceeds in time, and not in fuel or memory.
const LIMITS: &str = "[call]\ntime = '1s'\nfuel = '1 T'\nmemory = '1 GiB'\n[compute]\nthreads = 2\n";

/// Rows over which the slow operator takes several times the limit.
const SLOW: usize = 6000;

/// A bundle of one graph.
fn graph(name: &str, file: &Path) -> Result<Draft> {
    let manifest = format!(
        "[bundle]\nname = \"acme/{name}\"\nversion = \"1.0.0\"\n[[graph]]\nname = \"g\"\nfile = \"g.onnx\"\n[pipeline]\nstages = [\"g\"]\n"
    );
    Ok(Draft::new(&manifest).file("g.onnx", fs::read(file)?))
}

/// A tenant with a slow model and an honest one, and a key for calls.
struct Tenant<'a> {
    host: &'a Host,
    key: String,
}

impl Tenant<'_> {
    fn new<'a>(host: &'a Host, acme: &Publisher, name: &str) -> Result<Tenant<'a>> {
        host.tenant(name, &json!({}))?;
        let slow = repository().join("tests/graphs/slow-operator.onnx");
        let honest = repository().join("tests/hostile/graphs/honest/graph.onnx");
        acme.push_to(host, name, &graph("slow", &slow)?)?.ok()?;
        acme.push_to(host, name, &graph("honest", &honest)?)?.ok()?;
        Ok(Tenant { host, key: host.key(name, "infer")? })
    }

    fn slow(&self, rows: usize) -> Result<Reply> {
        self.call("slow", json!({ "name": "x", "datatype": "FP32", "shape": [rows, 1], "data": vec![1; rows] }))
    }

    fn honest(&self) -> Result<Reply> {
        self.call("honest", json!({ "name": "x", "datatype": "FP32", "shape": [4], "data": [0, 0, 0, 0] }))
    }

    fn call(&self, model: &str, input: Value) -> Result<Reply> {
        self.host.ask_as(&self.key, "POST", &format!("/v2/models/{model}/infer"), &json!({ "inputs": [input] }))
    }
}

fn start(config: &str) -> Result<(Host, Publisher)> {
    let host = Start::default().config(config).start()?;
    let acme = Publisher::trusted("acme", &host)?;
    Ok((host, acme))
}

/// The only runner of the host, when its children that try graphs have ended.
fn runner(host: &Host) -> Result<Pid> {
    wait_until(|| Ok(host.children()?.len() == 1))?;
    let child = host.children()?.into_iter().next().context("no child")?;
    Pid::from_raw(child.cast_signed()).context("no process")
}

fn ends(host: &Host, reason: &str) -> Result<u64> {
    host.metric(&format!("bulkhead_graph_runner_ends_total{{reason=\"{reason}\"}}"))
}

/// Repeats honest calls of a tenant while `run` runs. Returns the slowest one, too.
fn beside_honest_calls<T: Send>(tenant: &Tenant, run: impl FnOnce() -> Result<T> + Send) -> Result<(T, Duration)> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| -> Result<Duration> {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::SeqCst) {
                let began = Instant::now();
                tenant.honest()?.ok()?;
                slowest = slowest.max(began.elapsed());
            }
            Ok(slowest)
        });
        let result = run();
        done.store(true, Ordering::SeqCst);
        let slowest = honest.join().expect("the honest client ended")?;
        Ok((result?, slowest))
    })
}

#[test]
fn an_operator_that_passes_the_deadline_is_ended_and_others_are_answered() -> Result<()> {
    let (host, acme) = start(LIMITS)?;
    let (bad, neighbour) = (Tenant::new(&host, &acme, "bad")?, Tenant::new(&host, &acme, "neighbour")?);
    bad.slow(1)?.ok()?;
    for victim in [&neighbour, &bad] {
        let call = || {
            let began = Instant::now();
            let reply = bad.slow(SLOW)?;
            Ok((reply, began.elapsed()))
        };
        let ((reply, took), slowest) = beside_honest_calls(victim, call)?;
        reply.refused(504, "limit_time", &["reached its time limit of 1s"])?;
        println!("ended after {took:?}; the slowest call beside it took {slowest:?}");
        assert!(took < Duration::from_millis(2500), "{took:?}");
        let began = Instant::now();
        bad.honest()?.ok()?;
        println!("the next call of the tenant took {:?}", began.elapsed());
        wait_until(|| Ok(bad.slow(1)?.status == 200))?;
    }
    assert!(ends(&host, "deadline")? >= 2);
    assert_eq!(ends(&host, "crash")?, 0);
    Ok(())
}

#[test]
fn a_runner_that_is_killed_is_there_again() -> Result<()> {
    let (host, acme) = start("[call]\ntime = '60s'\nfuel = '1 T'\nmemory = '1 GiB'\n")?;
    let tenant = Tenant::new(&host, &acme, "t")?;
    tenant.slow(1)?.ok()?;
    let before = host.memory()?;
    for rows in [0, SLOW] {
        let process = runner(&host)?;
        let call = std::thread::scope(|scope| {
            let call = (rows > 0).then(|| scope.spawn(|| tenant.slow(rows)));
            wait_until(|| Ok(rows == 0 || cpu_ticks(process)? > 20))?;
            kill_process(process, Signal::KILL)?;
            call.map(|call| call.join().expect("the call ended")).transpose()
        })?;
        let began = Instant::now();
        tenant.honest()?.ok()?;
        println!("the next call took {:?}", began.elapsed());
        if let Some(reply) = call {
            ensure!(reply.json()["code"] == "graph_failed", "{reply:?}");
            host.wait_for_log(&["the process that runs it ended (signal 9"])?;
        }
        tenant.slow(1)?.ok()?;
        assert_ne!(runner(&host)?, process);
    }
    assert_eq!(ends(&host, "crash")?, 2);
    let after = host.memory()?;
    assert!(after < before + (32 << 20), "{before} bytes before, {after} after");
    Ok(())
}

/// CPU time of a process, in ticks of 10 ms.
fn cpu_ticks(process: Pid) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))?;
    let (_, fields) = stat.rsplit_once(')').context("no fields")?;
    fields.split_whitespace().nth(11).and_then(|field| field.parse().ok()).context("utime")
}

#[test]
fn a_run_that_finds_no_memory_gets_the_limit() -> Result<()> {
    let (host, acme) = start("[call]\nfuel = '1 T'\nmemory = '1 GiB'\n")?;
    let tenant = Tenant::new(&host, &acme, "t")?;
    tenant.slow(1)?.ok()?;
    let process = runner(&host)?;
    // What the process has now, and a little more.
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).context("VmData")?;
    let used = line.split_whitespace().next().context("a number")?.parse::<u64>()? << 10;
    let tight = Some(used + (8 << 20));
    prlimit(Some(process), Resource::Data, Rlimit { current: tight, maximum: tight })?;
    tenant.slow(SLOW)?.refused(500, "limit_memory", &["reached its memory limit of 1.0 GiB"])?;
    tenant.honest()?.ok()?;
    tenant.slow(1)?.ok().map(drop)
}

#[test]
fn a_runner_is_confined_and_sees_nothing_of_the_host() -> Result<()> {
    let (host, acme) = start("[compute]\nthreads = 2\n")?;
    Tenant::new(&host, &acme, "t")?.honest()?.ok()?;
    let process = runner(&host)?.as_raw_nonzero();
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}"));
    let (status, limits) = (read("status")?, read("limits")?);
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t2"] {
        assert!(status.contains(line), "{line} is not in:\n{status}");
    }
    for (name, soft) in [("Max core file size", "0"), ("Max open files", "20"), ("Max file size", "268435456")] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).context(name)?;
        assert_eq!(line.split_whitespace().next(), Some(soft), "{name}");
    }
    assert_eq!(read("environ")?, "");
    assert_eq!(fs::read_link(format!("/proc/{process}/cwd"))?, Path::new("/"));
    let mut open = Vec::new();
    for file in fs::read_dir(format!("/proc/{process}/fd"))? {
        open.push(fs::read_link(file?.path())?.to_string_lossy().into_owned());
    }
    let kind = |kind: &str| open.iter().filter(|file| file.starts_with(kind)).count();
    // Two lanes; the connection with the host, twice, and two lanes.
    assert_eq!((kind("/memfd:bulkhead-lane"), kind("socket:")), (2, 4), "{open:?}");
    let data = host.data().to_string_lossy().into_owned();
    assert_eq!(kind(&data), 0, "{open:?}");
    Ok(())
}

#[test]
fn a_runner_ends_with_its_last_graph_and_with_the_host() -> Result<()> {
    let (mut host, acme) = start("")?;
    host.tenant("t", &json!({}))?;
    let honest = graph("honest", &repository().join("tests/hostile/graphs/honest/graph.onnx"))?;
    acme.push_to(&host, "t", &honest)?.ok()?;
    runner(&host)?;
    host.admin("DELETE", &format!("/v1/bundles/{}?tenant=t", honest.digest()), &Value::Null)?.ok()?;
    wait_until(|| Ok(host.children()?.is_empty()))?;
    assert_eq!((ends(&host, "closed")?, host.metric("bulkhead_graph_runners")?), (1, 0));

    host.tenant("u", &json!({}))?;
    acme.push_to(&host, "u", &honest)?.ok()?;
    let process = runner(&host)?.as_raw_nonzero();
    host.kill()?;
    wait_until(|| Ok(!Path::new(&format!("/proc/{process}")).exists()))
}

#[test]
fn without_isolation_graphs_run_in_the_host() -> Result<()> {
    let (host, acme) = start("[graphs]\nisolation = 'none'\n")?;
    let tenant = Tenant::new(&host, &acme, "t")?;
    tenant.honest()?.ok()?;
    tenant.slow(1)?.ok()?;
    assert!(host.children()?.is_empty());
    Ok(())
}
