//! Every limit of a tenant: an error names the limit, its value, the amount used and the time to retry. A changed limit
//! applies from the next request on, without a restart, and other tenants are not affected.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Reply, Start, wait_until};

/// A host with a tenant `t` that has the model `echo` and models with these misdeeds, and a key of the tenant.
fn with_tenant(misdeeds: &[&str]) -> Result<(Host, Publisher, String)> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("t", &json!({}))?;
    acme.push_to(&host, "t", &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    for misdeed in misdeeds {
        acme.push_to(&host, "t", &Draft::hostile(&format!("acme/{misdeed}"), "1.0.0", misdeed))?.ok()?;
    }
    let key = host.key("t", "deploy")?;
    Ok((host, acme, key))
}

/// Checks the name and value of the error's `limit`, and returns the amount used.
#[track_caller]
fn limit(reply: &Reply, name: &str, value: u64) -> Option<u64> {
    let limit = &reply.json()["limit"];
    assert_eq!((&limit["name"], &limit["value"]), (&name.into(), &value.into()), "{reply:?}");
    limit["used"].as_u64()
}

/// A host whose configuration was lowered bounds a tenant's own limits that no longer fit, and keeps the others.
#[test]
fn own_limits_above_a_lower_configuration_are_the_hosts() -> Result<()> {
    let mut host = Start::default().start()?;
    host.tenant("t", &json!({ "call-fuel": "500 M", "call-time": "9s", "concurrency": 3 }))?;
    host.kill()?;
    let host = Start::default().data_of(&host).config("[call]\nfuel = \"20 M\"\ntime = \"2s\"").start()?;
    let tenant = host.admin("GET", "/v1/tenants/t", &Value::Null)?.ok()?.json();
    let limits = &tenant["limits"];
    assert_eq!((&limits["call-fuel"], &limits["call-time"]), (&json!(20_000_000), &json!("2s")), "{tenant}");
    assert_eq!(limits["concurrency"], 3, "{tenant}");
    host.wait_for_log(&[
        "own limits do not fit this host's configuration",
        "\"tenant\":\"t\"",
        "call-fuel must be",
        "call-time must be",
    ])?;
    Ok(())
}

#[track_caller]
fn retry_after(reply: &Reply) -> u64 {
    let seconds = reply.header("retry-after").and_then(|text| text.parse().ok());
    assert_eq!(seconds, reply.json()["retry_after"].as_u64(), "{reply:?}");
    seconds.unwrap_or_else(|| panic!("{reply:?}"))
}

#[test]
fn limits_of_a_call_hold_from_the_next_request_on() -> Result<()> {
    let (host, _, key) = with_tenant(&["loop", "memory-bomb", "print-flood"])?;
    host.limit("t", &json!({ "call-time": "5s", "call-fuel": "500 M", "call-memory": "32 MiB" }))?;
    for (model, key_of_limit, values, code, name) in [
        ("loop", "call-fuel", [("20 M", 20_000_000), ("30 M", 30_000_000)], "limit_fuel", "fuel"),
        ("loop", "call-time", [("50ms", 50), ("20ms", 20)], "limit_time", "time"),
        ("memory-bomb", "call-memory", [("8 MiB", 8 << 20), ("16 MiB", 16 << 20)], "limit_memory", "memory"),
        ("print-flood", "call-log", [("1 KiB", 1 << 10), ("3 KiB", 3 << 10)], "limit_log", "log"),
    ] {
        for (text, value) in values {
            host.limit("t", &json!({ key_of_limit: text }))?;
            let status = if code == "limit_time" { 504 } else { 500 };
            let keys = format!("raise {}, or {key_of_limit} where", key_of_limit.replace('-', "."));
            let told = [format!("{name} limit of"), " used".into(), keys];
            let reply = host.call(&key, model, "x")?.refused(status, code, &told.each_ref().map(String::as_str))?;
            let used = limit(&reply, name, value).context("nothing used")?;
            let enough = if code == "limit_time" { used >= value } else { used <= value && used > value / 4 };
            assert!(enough, "{used} of {value}: {reply:?}");
            assert_eq!(host.version(&key, "echo")?, "1.0.0");
        }
        let given = host.limit("t", &json!({ key_of_limit: null, "call-time": "5s" }));
        given.with_context(|| key_of_limit.to_owned())?;
    }
    let longer = host.admin("PATCH", "/v1/tenants/t/limits", &json!({ "call-time": "9h" }))?;
    longer.refused(400, "invalid_value", &["call-time must be at most the host's call.time"])?;
    let wrong = json!({ "call-fuel": "99 T", "call-memory": "64 GiB", "call-fule": 1 });
    let reply = host.admin("PATCH", "/v1/tenants/t/limits", &wrong)?;
    reply.refused(400, "invalid_value", &["call-fuel must be", "call-memory must be", "call-fule"]).map(drop)
}

#[test]
fn bodies_and_replies_are_bounded() -> Result<()> {
    let (host, _, key) = with_tenant(&[])?;
    host.limit("t", &json!({ "request-bytes": 60 }))?;
    let reply = host.call(&key, "echo", "input")?.refused(413, "request_too_large", &["60 B", "request-bytes"])?;
    limit(&reply, "request-bytes", 60);
    host.limit("t", &json!({ "request-bytes": null, "reply-bytes": 50 }))?;
    let reply = host.call(&key, "echo", "input")?.refused(413, "reply_too_large", &["50 B", "reply-bytes"])?;
    limit(&reply, "reply-bytes", 50);
    host.limit("t", &json!({ "reply-bytes": null }))?;
    host.version(&key, "echo").map(drop)
}

#[test]
fn fuel_per_second_is_saved_up_burnt_and_waited_for() -> Result<()> {
    let (host, _, key) = with_tenant(&["loop"])?;
    host.limit("t", &json!({ "call-fuel": "4 M", "fuel-per-second": "1 M", "fuel-burst": "2 M" }))?;
    let reply = host.call(&key, "echo", "input")?.ok()?;
    assert_eq!(reply.header("ratelimit-policy"), Some("\"fuel\";q=2000000;w=2"));
    assert!(reply.header("ratelimit").is_some_and(|text| text.starts_with("\"fuel\";r=19")), "{reply:?}");
    let burnt = Instant::now();
    host.call(&key, "loop", "x")?.refused(500, "limit_fuel", &[])?;
    let reply = host.call(&key, "echo", "input")?;
    let reply = reply.refused(429, "limit_tenant_fuel", &["fuel-per-second", "1 M", "fuel-burst", "try again in"])?;
    let used = limit(&reply, "fuel-per-second", 1_000_000).context("nothing used")?;
    assert!((3_500_000..=4_100_000).contains(&used), "{used}");
    assert!((2..=3).contains(&retry_after(&reply)), "{reply:?}");
    assert!(reply.header("ratelimit").is_some_and(|text| text.starts_with("\"fuel\";r=0;t=")), "{reply:?}");
    wait_until(|| Ok(host.call(&key, "echo", "input")?.status == 200))?;
    assert!(burnt.elapsed().as_millis() > 1500, "{:?}", burnt.elapsed());
    // A changed limit applies at once.
    wait_until(|| Ok(host.call(&key, "loop", "x")?.status == 500))?;
    host.call(&key, "echo", "input")?.refused(429, "limit_tenant_fuel", &[])?;
    host.limit("t", &json!({ "fuel-per-second": null, "fuel-burst": null }))?;
    let reply = host.call(&key, "echo", "input")?.ok()?;
    assert_eq!(reply.header("ratelimit"), None);
    Ok(())
}

#[test]
fn calls_under_way_share_a_bound_on_memory() -> Result<()> {
    let (host, _, key) = with_tenant(&["memory-bomb"])?;
    host.limit("t", &json!({ "memory": "8 MiB", "call-memory": "16 MiB" }))?;
    let reply = host.call(&key, "memory-bomb", "x")?;
    let reply = reply.refused(429, "limit_tenant_memory", &["8.0 MiB", " used", "tenant.memory"])?;
    assert!(limit(&reply, "tenant-memory", 8 << 20).is_some_and(|used| used > 4 << 20), "{reply:?}");
    retry_after(&reply);
    assert_eq!(host.version(&key, "echo")?, "1.0.0");
    host.limit("t", &json!({ "memory": "32 MiB" }))?;
    host.call(&key, "memory-bomb", "x")?.refused(500, "limit_memory", &["16.0 MiB"]).map(drop)
}

#[test]
fn calls_at_once_and_calls_that_wait_are_bounded() -> Result<()> {
    let (host, _, key) = with_tenant(&["loop"])?;
    host.limit("t", &json!({ "concurrency": 1, "queue": 1, "call-time": "1s" }))?;
    std::thread::scope(|scope| -> Result<()> {
        let running = scope.spawn(|| host.call(&key, "loop", "x"));
        wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 1")))?;
        let waiting = scope.spawn(|| host.call(&key, "echo", "input"));
        wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_waiting 1")))?;
        let reply = host.call(&key, "echo", "input")?;
        let reply = reply.refused(429, "limit_tenant_calls", &["1 calls", "(queue)", "(concurrency)"])?;
        assert_eq!(limit(&reply, "queue", 1), Some(1));
        retry_after(&reply);
        // Another tenant does not wait for this one.
        host.tenant("other", &json!({}))?;
        let other = host.key("other", "infer")?;
        host.call(&other, "echo", "input")?.refused(404, "unknown_model", &[])?;
        running.join().unwrap()?.refused(504, "limit_time", &[])?;
        waiting.join().unwrap()?.ok().map(drop)
    })
}

#[test]
fn models_and_stored_bytes_are_bounded() -> Result<()> {
    let (host, acme, key) = with_tenant(&[])?;
    let next = Draft::identity("acme/echo", "2.0.0");
    host.limit("t", &json!({ "models": 1 }))?;
    let reply = acme.push_to(&host, "t", &next)?.refused(409, "limit_models", &["1 active", "(models)"])?;
    assert_eq!(limit(&reply, "models", 1), Some(1));
    let change = |what: &str| host.admin_as(&key, "POST", &format!("/v1/models/echo/versions/{what}"), &Value::Null);
    change("1.0.0/retire")?.ok()?;
    acme.push_to(&host, "t", &next)?.ok()?;
    change("1.0.0/activate")?.refused(409, "limit_models", &[])?;
    host.ask_as(&key, "POST", "/v2/repository/models/echo/load", &Value::Null)?.refused(409, "limit_models", &[])?;
    assert_eq!(host.version(&key, "echo")?, "2.0.0");
    host.limit("t", &json!({ "models": null, "stored-bytes": "1 KiB" }))?;
    let third = Draft::identity("acme/echo", "3.0.0");
    let reply = acme.push_to(&host, "t", &third)?;
    let reply =
        reply.refused(507, "limit_stored_bytes", &["1.0 KiB", "(stored-bytes)", "stores", "this bundle has"])?;
    assert!(limit(&reply, "stored-bytes", 1024).is_some_and(|used| used > 1024), "{reply:?}");
    host.limit("t", &json!({ "stored-bytes": null }))?;
    acme.push_to(&host, "t", &third)?.ok().map(drop)
}
