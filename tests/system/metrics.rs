//! The metrics that Prometheus reads.

use std::io::Write;
use std::net::TcpStream;

use anyhow::Result;
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Start, prepared, repository, wait_until};

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
        "bulkhead_requests_total{model=\"digits\",outcome=\"ok\",tenant=\"default\"} 3",
        "bulkhead_requests_total{model=\"digits\",outcome=\"invalid_input\",tenant=\"default\"} 1",
        "bulkhead_requests_total{model=\"\",outcome=\"unknown_model\",tenant=\"\"} 1",
        "bulkhead_stage_duration_seconds_count{model=\"digits\",stage=\"cnn\",tenant=\"default\",version=\"1.0.0\"} 3",
        "bulkhead_stage_duration_seconds_count{model=\"digits\",stage=\"classify\",tenant=\"default\",version=\"1.0.0\"} 3",
        "bulkhead_call_fuel_count{model=\"digits\",tenant=\"default\",version=\"1.0.0\"} 4",
        "bulkhead_call_peak_memory_bytes_count{model=\"digits\",tenant=\"default\",version=\"1.0.0\"} 4",
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

/// Two tenants' models of one name have series of their own, which end with the version and with the tenant.
#[test]
fn series_are_of_a_tenant_and_end_with_what_they_count() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("shop", &json!({}))?;
    for tenant in ["default", "shop"] {
        acme.push_to(&host, tenant, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    }
    let key = host.key("shop", "infer")?;
    host.version(&key, "echo")?;
    let ok = |tenant: &str| format!("bulkhead_requests_total{{model=\"echo\",outcome=\"ok\",tenant=\"{tenant}\"}}");
    assert_eq!((host.metric(&ok("shop"))?, host.metric(&ok("default"))?), (1, 0));
    host.admin_post("/v1/models/echo/versions/1.0.0/retire?tenant=default", &json!({}))?.ok()?;
    wait_until(|| Ok(!host.metrics()?.contains("tenant=\"default\"")))?;
    assert_eq!(host.metric(&ok("shop"))?, 1);
    host.admin("DELETE", "/v1/tenants/shop", &Value::Null)?.ok()?;
    wait_until(|| Ok(!host.metrics()?.contains("tenant=\"shop\"")))?;
    Ok(())
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
    let abandoned = "bulkhead_requests_total{model=\"sleep\",outcome=\"abandoned\",tenant=\"default\"} 1";
    wait_until(|| Ok(host.metrics()?.contains(abandoned)))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))
}
