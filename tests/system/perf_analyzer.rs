//! NVIDIA's load generator runs against the host as it does against Triton. It reads the model's configuration, metadata
//! and statistics, and stops with an error if it does not understand them.

use std::process::Command;

use anyhow::{Context, Result};
use system_tests::{Host, Shared, Start, component, identity, prepared, succeed};

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    let bundles = [
        identity("numbers", "FP32", &[1, 1024]),
        identity("rows", "FP32", &[-1, 16]),
        identity("texts", "BYTES", &[1]),
    ];
    bundles.iter().fold(Start::default(), |start, bundle| start.bundle(bundle, &files)).start()
});

const REQUESTS: u64 = 200;

/// Runs perf_analyzer and returns its output. It sometimes does not end on a busy machine. If the host then has no call in
/// progress, it has answered all that it got, and the program is started once more.
fn run(host: &Host, model: &str, arguments: &[&str]) -> Result<String> {
    match run_once(model, arguments) {
        Err(error) if error.to_string().contains("did not end within") => {
            assert_eq!(host.metric("bulkhead_calls_in_flight")?, 0, "the host has calls in progress: {error}");
            run_once(model, arguments)
        }
        ended => ended,
    }
}

fn run_once(model: &str, arguments: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.csv");
    let mut command = Command::new(prepared("BULKHEAD_PERF_ANALYZER"));
    command.args(["-m", model, "--concurrency-range", "4", "--request-count", &REQUESTS.to_string()]);
    let said = succeed(command.arg("-f").arg(&report).args(arguments))?;
    let report = std::fs::read_to_string(report).context(said.clone())?;
    let rate: f64 = report.lines().nth(1).and_then(|line| line.split(',').nth(1)?.parse().ok()).context(report)?;
    assert!(rate > 0.0, "{said}");
    Ok(said)
}

/// The number after a word that occurs once in the output.
fn number(said: &str, word: &str) -> Result<u64> {
    let rest = said.split_once(word).with_context(|| format!("no \"{word}\": {said}"))?.1;
    Ok(rest.split_whitespace().next().context("nothing after it")?.parse()?)
}

#[test]
fn perf_analyzer_runs_over_http_and_grpc() -> Result<()> {
    let host = HOST.get();
    let ways: [&[&str]; 5] = [
        &["-i", "http", "-u", host.address()],
        &["-i", "http", "-u", host.address(), "--input-tensor-format", "json", "--output-tensor-format", "json"],
        &["-i", "http", "-u", host.address(), "--async"],
        &["-i", "grpc", "-u", &host.grpc],
        &["-i", "grpc", "-u", &host.grpc, "--async", "--streaming"],
    ];
    for way in ways {
        // perf_analyzer fills tensors with random bits, so some of a thousand numbers are NaN.
        let said = run(&host, "numbers", way)?;
        assert!(number(&said, "Request count: ")? >= REQUESTS, "{way:?}: {said}");
    }
    // Its report of the server's own times is empty, because it expects versions to be whole numbers.
    let statistics = host.get("/v2/models/numbers/stats")?.json()["model_stats"][0].clone();
    assert!(statistics["inference_count"].as_u64() >= Some(REQUESTS * ways.len() as u64), "{statistics}");
    assert_eq!(statistics["inference_stats"]["fail"]["count"], 0, "{statistics}");
    Ok(())
}

#[test]
fn perf_analyzer_gives_shapes_and_sends_texts() -> Result<()> {
    let host = HOST.get();
    for way in [["-i", "http", "-u", host.address()], ["-i", "grpc", "-u", &host.grpc]] {
        for (model, what) in [("rows", ["--shape", "input:8,16"]), ("texts", ["--string-data", "a text"])] {
            let said = run(&host, model, &[&way[..], &what, &["-x", "1.0.0"]].concat())?;
            assert!(number(&said, "Request count: ")? >= REQUESTS, "{way:?}: {said}");
        }
    }
    Ok(())
}
