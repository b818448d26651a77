//! Drain on SIGTERM: running requests finish, new connections are refused, and the process exits by itself.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::Result;
use serde_json::json;
use system_tests::{Start, prepared, wait_until};

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
