//! Hostile guests: each gets its own clear error within its limit, and does not affect other calls. A case is a folder
//! under `tests/hostile/cases`: a bundle, and a `case.toml` with the expected reply.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use system_tests::{Host, Shared, Start, prepared, repository};

const LIMITS: &str = r#"
    [call]
    fuel = "2 G"
    memory = "64 MiB"
    time = "3s"
    log = "64 KiB"
    [init]
    fuel = "1 G"
    memory = "64 MiB"
    time = "3s"
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    expect: Expect,
    /// The input `x`; `[1.0]` if absent.
    x: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: u16,
    #[serde(default)]
    code: String,
    /// Phrases that the error's text must contain.
    #[serde(default)]
    contains: Vec<String>,
    /// Phrases that must not reach the client.
    #[serde(default)]
    lacks: Vec<String>,
    within: String,
}

static HOST: Shared = Shared::new(|| Start::default().config(LIMITS).models(prepared("BULKHEAD_HOSTILE")).start());

fn request(x: &[f32]) -> Value {
    json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [x.len()], "data": x }] })
}

#[test]
fn each_misdeed_gets_its_own_error_and_hurts_nobody() -> Result<()> {
    let host = HOST.get();
    let mut cases: Vec<_> = fs::read_dir(repository().join("tests/hostile/cases"))?.collect::<Result<_, _>>()?;
    cases.sort_by_key(|case| case.file_name());
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let name = case.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(case.path().join("case.toml")).with_context(|| name.clone())?;
        let case: Case = toml::from_str(&text).with_context(|| name.clone())?;
        wrong.extend(check(&host, &name, &case)?);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Sends the request, and a well-behaved request beside it and after it.
fn check(host: &Host, name: &str, case: &Case) -> Result<Vec<String>> {
    let x = case.x.clone().unwrap_or(vec![1.0]);
    let (reply, took, beside) = std::thread::scope(|scope| {
        let beside = scope.spawn(|| good_request(host));
        let started = Instant::now();
        let reply = host.infer(name, &request(&x));
        (reply, started.elapsed(), beside.join())
    });
    let mut wrong = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            wrong.push(format!("{name}: {what}"));
        }
    };
    let reply = reply?;
    expect(beside.is_ok_and(|beside| beside.is_ok()), "the request beside it failed".into());
    expect(good_request(host).is_ok(), "the next request failed".into());
    let body = reply.json();
    let error = body["error"].as_str().unwrap_or_default();
    expect(
        reply.status == case.expect.status,
        format!("status {} instead of {}: {error}", reply.status, case.expect.status),
    );
    let code = body["code"].as_str().unwrap_or_default();
    expect(code == case.expect.code, format!("code \"{code}\" instead of \"{}\": {error}", case.expect.code));
    for phrase in &case.expect.contains {
        expect(error.contains(phrase.as_str()), format!("\"{phrase}\" is not in: {error}"));
    }
    for secret in &case.expect.lacks {
        expect(!reply.body.contains(secret.as_str()), format!("\"{secret}\" is in: {}", reply.body));
    }
    let within = seconds(&case.expect.within)?;
    expect(took <= within, format!("took {took:?}, and {within:?} are allowed"));
    println!("{name}: {} {code} in {took:.1?}: {error}", reply.status);
    Ok(wrong)
}

fn good_request(host: &Host) -> Result<()> {
    let reply = host.infer("secret", &request(&[5.0]))?;
    anyhow::ensure!(reply.status == 200 && reply.output("y") == [json!(0.0)], "{reply:?}");
    Ok(())
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::from_secs_f64(text.trim_end_matches('s').parse()?))
}

/// 10,000 requests, many of them concurrent, try to read what an earlier request wrote into a static.
#[test]
fn nothing_passes_from_one_request_to_the_next() -> Result<()> {
    let host = HOST.get();
    const THREADS: usize = 8;
    const TRIES: usize = 10_000;
    std::thread::scope(|scope| {
        let host = &*host;
        let work = |thread: usize| {
            move || -> Result<()> {
                for attempt in 0..TRIES / THREADS {
                    let secret = (thread * TRIES + attempt + 1) as f32;
                    let reply = host.infer("secret", &request(&[secret]))?;
                    anyhow::ensure!(reply.output("y") == [json!(0.0)], "an earlier request's secret: {reply:?}");
                }
                Ok(())
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })
}

/// Memory that a call grew into is zero again for the next call: the guest traps if it finds marks of an earlier call.
#[test]
fn memory_that_was_grown_is_clean_again() -> Result<()> {
    let host = HOST.get();
    for _ in 0..300 {
        let reply = host.infer("stale-memory", &request(&[1.0]))?;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    Ok(())
}

#[test]
fn what_a_plugin_logs_is_marked_and_cannot_forge_lines() -> Result<()> {
    let host = HOST.get();
    let reply = host.infer("print-forgery", &request(&[1.0]))?;
    assert_eq!(reply.status, 200, "{reply:?}");
    let request_id = reply.header("x-request-id").context("no request id")?;
    host.wait_for_log(&["\"plugin\"", request_id, "print-forgery"])?;
    for line in host.log().lines() {
        serde_json::from_str::<Value>(line).with_context(|| format!("not a line of JSON: {line}"))?;
    }
    Ok(())
}

#[test]
fn what_init_prints_is_logged_to_its_end() -> Result<()> {
    let host = HOST.get();
    for printed in ["init says hello", "and does not end its line"] {
        host.wait_for_log(&["\"request\":\"init\"", "init-prints", printed])?;
    }
    Ok(())
}

/// The client learns only that the plugin failed; the log has the cause.
#[test]
fn the_cause_of_a_failure_is_in_the_log_with_the_request() -> Result<()> {
    let host = HOST.get();
    let reply = host.infer("fail-internal", &request(&[1.0]))?;
    let request_id = reply.header("x-request-id").context("no request id")?;
    let line = host.wait_for_log(&["request failed", request_id])?;
    let line: Value = serde_json::from_str(&line)?;
    assert_eq!(line["model"], "fail-internal");
    assert_eq!(line["code"], "plugin_failed");
    assert!(line["cause"].as_str().is_some_and(|cause| cause.contains("hunter2")), "{line}");
    Ok(())
}
