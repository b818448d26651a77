//! gRPC, used as real clients use it.

use std::process::Command;

use anyhow::{Context, Result};
use system_tests::frames::{DATA, END_STREAM, Frames};
use system_tests::{
    Program, Start, component, hostile, identity, labelled, labelled_files, prepared, repository, succeed, wait_until,
};

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

/// `http` holds keys of the section `[http]`.
fn start(http: &str) -> Result<Start> {
    let files = [component("identity")];
    let mut start = Start::default().config(&format!("[http]\n{http}\n[call]\ntime = '60s'\n"));
    for datatype in DATATYPES {
        start = start.bundle(&identity(&format!("identity-{}", datatype.to_lowercase()), datatype, &[-1]), &files);
    }
    for (version, shape) in [("1.0.0", &[-1][..]), ("1.9.0", &[-1, 3]), ("1.10.0", &[-1, 2])] {
        let manifest = identity("versioned", "FP32", shape).replace("1.0.0", version);
        start = start.bundle(&manifest, &files);
    }
    start = start.bundle(&labelled(), &labelled_files());
    for case in ["sleep", "fail-internal"] {
        let (manifest, files) = hostile(case)?;
        start = start.bundle(&manifest, &files);
    }
    Ok(start)
}

/// Runs everything that `tritonclient` and the clients of the standard services do, and checks that the host then holds
/// nothing for them.
#[test]
fn tritonclient_is_served() -> Result<()> {
    let host = start("request-bytes = '8 MiB'")?.start()?;
    let key = host.key("default", "admin")?;
    for script in ["grpc_calls.py", "grpc_client.py"] {
        let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
        client.arg(repository().join("tests/clients").join(script)).args(["--url", &host.grpc]);
        succeed(client.env("BULKHEAD_KEY", &key)).with_context(|| host.log())?;
    }
    // Calls whose deadline passed or whose client left have ended and released their buffers.
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_buffered_bytes 0")))?;
    let metrics = host.metrics()?;
    let left = |outcome: &str| {
        let counted = format!("bulkhead_requests_total{{model=\"sleep\",outcome=\"{outcome}\",tenant=\"default\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&counted)?.parse::<u32>().ok()).unwrap_or_default()
    };
    // The host or the client may notice the deadline first, so the two outcomes are counted together.
    assert_eq!(left("abandoned") + left("client_deadline"), 5, "{metrics}");
    assert!(
        metrics.contains(
            "bulkhead_requests_total{model=\"fail-internal\",outcome=\"plugin_failed\",tenant=\"default\"} 2"
        ),
        "{metrics}"
    );
    Ok(())
}

/// A request of plain HTTP on the gRPC port gets an error that says so.
#[test]
fn plain_http_gets_an_error_on_the_grpc_port() -> Result<()> {
    let mut host = Start::default().start()?;
    host.url = format!("http://{}", host.grpc);
    let reply = host.get("/v2/health/live")?;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (415, Some("not_grpc")), "{reply:?}");
    assert_eq!(reply.json()["request_id"].as_str(), reply.header("x-request-id"));
    Ok(())
}

/// An idle stream is not ended by `body-time`, and does not delay a shutdown.
#[test]
fn open_streams_end_when_the_host_shuts_down() -> Result<()> {
    let mut host = start("body-time = '1s'")?.config("[shutdown]\ngrace = '60s'\n").start()?;
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
    client.arg(repository().join("tests/clients/grpc_stream.py")).args(["--url", &host.grpc]);
    client.env("BULKHEAD_KEY", host.key("default", "admin")?);
    let client = Program::start(&mut client)?;
    let counted = "bulkhead_requests_total{model=\"identity-int8\",outcome=\"ok\",tenant=\"default\"} 2";
    wait_until(|| Ok(host.metrics()?.contains(counted)))?;
    let began = std::time::Instant::now();
    host.terminate()?;
    client.succeed().with_context(|| host.log())?;
    assert!(host.wait()?.success());
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "it waited for the streams");
    Ok(())
}

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// A message that never completes is ended after `body-time`, and its buffer is released.
#[test]
fn messages_that_never_end_are_refused_in_time() -> Result<()> {
    let host = Start::default().config("[http]\nbody-time = '1s'\n").start()?;
    let paths =
        [INFER, "/inference.GRPCInferenceService/ModelStreamInfer", "/tensorflow.serving.PredictionService/Predict"];
    let mut held = Vec::new();
    for path in paths {
        let mut stream = Frames::connect(&host.grpc)?;
        stream.call(path, &[])?;
        // The header announces 64 KiB, of which only these bytes follow.
        stream.send(DATA, 0, 1, &[0, 0, 1, 0, 0, 7, 7, 7])?;
        held.push(stream);
    }
    for stream in &mut held {
        stream.wait_for_headers()?;
    }
    wait_until(|| Ok(host.metrics()?.contains("outcome=\"request_too_slow\",tenant=\"\"} 3")))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_buffered_bytes 0")))
}

/// Bodies of all streams together stay within `http.buffered-bytes`, and a closed connection releases its share.
#[test]
fn bodies_are_counted_until_they_are_released() -> Result<()> {
    let host = Start::default().config("[http]\nbuffered-bytes = '1 MiB'\n").start()?;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = Frames::connect(&host.grpc)?;
        stream.call(INFER, &[])?;
        // The window of a stream is 64 KiB until the host enlarges it.
        stream.send(DATA, 0, 1, &[&[0, 0, 16, 0, 0][..], &[7; 16_000]].concat())?;
        for _ in 0..3 {
            stream.send(DATA, 0, 1, &[7; 16_000])?;
        }
        held.push(stream);
    }
    wait_until(|| Ok(host.metrics()?.contains("outcome=\"overloaded\"")))?;
    drop(held);
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_buffered_bytes 0")))
}

/// The host enforces the client's deadline even if the client does not cancel the call.
#[test]
fn a_deadline_ends_the_call_though_the_client_waits_on() -> Result<()> {
    let host = start("")?.start()?;
    let mut stream = Frames::connect(&host.grpc)?;
    stream.call(INFER, &[("grpc-timeout", "300m")])?;
    let input = b"\x0a\x01x\x12\x04FP32\x1a\x01\x01";
    let message = [b"\x0a\x05sleep\x2a", &[u8::try_from(input.len())?][..], input, b"\x3a\x04\0\0\0\0"].concat();
    let prefixed = [&[0, 0, 0, 0, u8::try_from(message.len())?][..], &message].concat();
    stream.send(DATA, END_STREAM, 1, &prefixed)?;
    stream.wait_for_headers()?;
    let counted = "bulkhead_requests_total{model=\"sleep\",outcome=\"client_deadline\",tenant=\"default\"} 1";
    wait_until(|| Ok(host.metrics()?.contains(counted)))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))
}
