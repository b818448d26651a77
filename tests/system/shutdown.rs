//! Signals, and the protocol of a supervisor. On SIGTERM the host is not ready, serves on for `shutdown.drain`, and then
//! finishes running requests, refuses new connections, and exits by itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use system_tests::{Start, component, identity, prepared, wait_until};

#[test]
fn what_runs_finishes_and_nothing_new_is_accepted() -> Result<()> {
    let sleep = prepared("BULKHEAD_HOSTILE").join("sleep");
    let manifest = std::fs::read_to_string(sleep.join("bundle.toml"))?;
    let start = Start::default().bundle(&manifest, &[sleep.join("hostile-sleeper.wasm")]);
    let mut host = start.config("[call]\ntime = '2s'\n").start()?;
    let body = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1], "data": [1.0] }] }).to_string();
    let mut slow = TcpStream::connect(host.address())?;
    let length = body.len();
    write!(slow, "POST /v2/models/sleep/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 1")))?;
    host.terminate()?;
    wait_until(|| Ok(TcpStream::connect(host.address()).is_err()))?;
    let mut reply = String::new();
    slow.read_to_string(&mut reply)?;
    assert!(reply.starts_with("HTTP/1.1 504"), "the request that ran was answered: {reply}");
    assert!(host.wait()?.success());
    Ok(())
}

/// The plugin's lines fill the pipe of standard error several times.
#[test]
fn a_host_whose_log_nobody_reads_goes_on() -> Result<()> {
    let (flood, files) = system_tests::hostile("print-flood")?;
    let start =
        Start::default().bundle(&flood, &files).bundle(&identity("echo", "FP32", &[-1]), &[component("identity")]);
    let mut host = start.unread_log().config("[call]\nlog = '1 MiB'\n[tenant]\nlog-per-second = '64 MiB'\n").start()?;
    for _ in 0..4 {
        host.call("", "print-flood", "x")?.refused(500, "limit_log", &[])?;
    }
    for _ in 0..100 {
        host.call("", "echo", "input")?.ok()?;
    }
    host.admin_get("/v1/tenants")?.ok()?;
    host.terminate()?;
    assert!(host.wait()?.success());
    Ok(())
}

#[test]
fn a_draining_host_is_not_ready_and_serves_on() -> Result<()> {
    let start = Start::default().bundle(&identity("echo", "FP32", &[1]), &[component("identity")]);
    let mut host = start.config("[shutdown]\ndrain = '1h'\n").start()?;
    assert_eq!(host.get("/v2/health/ready")?.status, 200);
    host.terminate()?;
    wait_until(|| Ok(host.get("/v2/health/ready")?.status == 503))?;
    assert_eq!(host.get("/v2/health/live")?.status, 200);
    for _ in 0..3 {
        assert_eq!(host.version("", "echo")?, "1.0.0", "each on a connection of its own");
    }
    host.terminate()?;
    wait_until(|| Ok(TcpStream::connect(host.address()).is_err()))?;
    assert!(host.wait()?.success(), "a second request ends the drain time");
    let start = Start::default().bundle(&identity("echo", "FP32", &[1]), &[component("identity")]);
    let mut host = start.config("[shutdown]\ndrain = '200ms'\n").start()?;
    host.terminate()?;
    assert!(host.wait()?.success(), "it ends by itself after the drain time");
    Ok(())
}

#[test]
fn a_hangup_ends_nothing() -> Result<()> {
    let host = Start::default().bundle(&identity("echo", "FP32", &[1]), &[component("identity")]).start()?;
    host.signal("HUP")?;
    host.wait_for_log(&["SIGHUP", "certificates"])?;
    assert_eq!(host.version("", "echo")?, "1.0.0");
    Ok(())
}

#[test]
fn a_supervisor_is_told_what_the_host_does() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let start = Start::default().variable("NOTIFY_SOCKET", &place.display().to_string());
    let mut host = start.variable("WATCHDOG_USEC", "20000").start()?;
    let told = |wanted: &str| -> Result<()> {
        loop {
            let mut state = [0; 256];
            let length = socket.recv(&mut state)?;
            if String::from_utf8_lossy(&state[..length]).lines().any(|line| line == wanted) {
                return Ok(());
            }
        }
    };
    told("READY=1")?;
    told("WATCHDOG=1")?;
    told("WATCHDOG=1")?;
    host.terminate()?;
    told("STOPPING=1")?;
    assert!(host.wait()?.success());
    Ok(())
}
