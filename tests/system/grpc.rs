//! gRPC, as real clients use it.

use std::process::Command;

use anyhow::Result;
use system_tests::{Start, component, hostile, identity, prepared, repository, wait_until};

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

fn start() -> Result<Start> {
    let files = [component("identity")];
    let mut start = Start::default().config("[http]\nrequest-bytes = '8 MiB'\n[call]\ntime = '60s'\n");
    for datatype in DATATYPES {
        start = start.bundle(&identity(&format!("identity-{}", datatype.to_lowercase()), datatype, &[-1]), &files);
    }
    for (version, shape) in [("1.0.0", &[-1][..]), ("1.9.0", &[-1, 3]), ("1.10.0", &[-1, 2])] {
        let manifest = identity("versioned", "FP32", shape).replace("1.0.0", version);
        start = start.bundle(&manifest, &files);
    }
    for case in ["sleep", "fail-internal"] {
        let (manifest, files) = hostile(case)?;
        start = start.bundle(&manifest, &files);
    }
    Ok(start)
}

/// Everything that `tritonclient` and the standard services' clients do, and then that nothing is left of it.
#[test]
fn tritonclient_is_served() -> Result<()> {
    let host = start()?.start()?;
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
    client.arg(repository().join("tests/clients/grpc_client.py")).args(["--url", &host.grpc]);
    let output = client.output()?;
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}\n{}", host.log());
    // Deadlines that passed and clients that left: their calls ended, and gave back what they held.
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_buffered_bytes 0")))?;
    let metrics = host.metrics()?;
    let left = |outcome: &str| {
        let counted = format!("bulkhead_requests_total{{model=\"sleep\",outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&counted)?.parse::<u32>().ok()).unwrap_or_default()
    };
    // Which of the two sees the deadline first is chance.
    assert_eq!(left("abandoned") + left("client_deadline"), 3, "{metrics}");
    assert!(
        metrics.contains("bulkhead_requests_total{model=\"fail-internal\",outcome=\"plugin_failed\"} 1"),
        "{metrics}"
    );
    Ok(())
}

/// Who speaks plain HTTP to the port for gRPC is told so.
#[test]
fn plain_http_is_told_where_to_go() -> Result<()> {
    let mut host = Start::default().start()?;
    host.url = format!("http://{}", host.grpc);
    let reply = host.get("/v2/health/live")?;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (415, Some("not_grpc")), "{reply:?}");
    assert_eq!(reply.json()["request_id"].as_str(), reply.header("x-request-id"));
    Ok(())
}

/// Open streams do not hold up a shutdown.
#[test]
fn open_streams_end_when_the_host_shuts_down() -> Result<()> {
    let mut host = start()?.config("[shutdown]\ngrace = '60s'\n").start()?;
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
    client.arg(repository().join("tests/clients/grpc_stream.py")).args(["--url", &host.grpc]);
    let client = client.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn()?;
    let counted = "bulkhead_requests_total{model=\"identity-int8\",outcome=\"ok\"} 1";
    wait_until(|| Ok(host.metrics()?.contains(counted)))?;
    let began = std::time::Instant::now();
    host.terminate()?;
    let output = client.wait_with_output()?;
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), host.log());
    assert!(host.wait()?.success());
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "it waited for the streams");
    Ok(())
}
