//! The metrics that Prometheus reads.

use std::io::Write;
use std::net::TcpStream;

use anyhow::Result;
use serde_json::json;
use system_tests::{Host, Start, prepared, repository, wait_until};

#[test]
fn requests_stages_fuel_and_memory_are_counted() -> Result<()> {
    let host = Host::with_models(prepared("BULKHEAD_MODELS"))?;
    let picture = std::fs::read(first_picture()?)?;
    for _ in 0..3 {
        assert_eq!(host.post("/v2/models/digits/infer", "image/png", &picture)?.status, 200);
    }
    assert_eq!(host.post("/v2/models/digits/infer", "image/png", b"not a picture")?.status, 400);
    assert_eq!(host.infer("no-such-model", &json!({ "inputs": [] }))?.status, 404);
    let metrics = host.metrics()?;
    for line in [
        "bulkhead_requests_total{model=\"digits\",outcome=\"ok\"} 3",
        "bulkhead_requests_total{model=\"digits\",outcome=\"invalid_input\"} 1",
        "bulkhead_requests_total{model=\"\",outcome=\"unknown_model\"} 1",
        "bulkhead_stage_duration_seconds_count{model=\"digits\",stage=\"cnn\",version=\"1.0.0\"} 3",
        "bulkhead_stage_duration_seconds_count{model=\"digits\",stage=\"classify\",version=\"1.0.0\"} 3",
        "bulkhead_call_fuel_count{model=\"digits\",version=\"1.0.0\"} 4",
        "bulkhead_call_peak_memory_bytes_count{model=\"digits\",version=\"1.0.0\"} 4",
        "bulkhead_calls_in_flight 0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is not in:\n{metrics}");
    }
    assert!(!metrics.contains("no-such-model"), "a model name that a client invents must not become a label");
    Ok(())
}

fn first_picture() -> Result<std::path::PathBuf> {
    let folder = std::fs::read_dir(repository().join("examples/digits/held-out"))?;
    let mut files: Vec<_> = folder.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files.remove(0))
}

/// A disconnected client's computation is stopped, and the request is counted as abandoned.
#[test]
fn abandoned_requests_are_counted_and_stop() -> Result<()> {
    let sleep = prepared("BULKHEAD_HOSTILE").join("sleep");
    let manifest = std::fs::read_to_string(sleep.join("bundle.toml"))?;
    let host = Start::default().bundle(&manifest, &[sleep.join("hostile-sleeper.wasm")]).start()?;
    let body = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1], "data": [1.0] }] }).to_string();
    let mut stream = TcpStream::connect(host.address())?;
    let length = body.len();
    write!(stream, "POST /v2/models/sleep/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 1")))?;
    drop(stream);
    let abandoned = "bulkhead_requests_total{model=\"sleep\",outcome=\"abandoned\"} 1";
    wait_until(|| Ok(host.metrics()?.contains(abandoned)))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))
}
