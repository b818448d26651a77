//! Callers: keys, roles and usage, and fairness between tenants.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Start, wait_until};

fn with_echo(config: &str) -> Result<Host> {
    let host = Start::default().config(config).start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("t", &json!({}))?;
    acme.push_to(&host, "t", &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    acme.push(&host, &Draft::identity("acme/own", "1.0.0"))?.ok()?;
    Ok(host)
}

#[test]
fn keys_are_shown_once_and_revoked_at_once() -> Result<()> {
    let mut host = with_echo("")?;
    let made = host.admin("POST", "/v1/tenants/t/keys", &json!({ "role": "infer", "note": "app" }))?.ok()?.json();
    let (id, key) = (made["id"].as_str().context("no id")?, made["key"].as_str().context("no key")?);
    assert_eq!(host.version(key, "echo")?, "1.0.0");
    let listed = host.admin("GET", "/v1/tenants/t/keys", &Value::Null)?.ok()?;
    assert!(listed.body.contains(id) && !listed.body.contains(key) && !listed.body.contains("hash"), "{listed:?}");
    let (start, secret) = key.rsplit_once('_').context("no secret")?;
    for file in ["bulkhead.db", "bulkhead.db-wal"] {
        let content = std::fs::read(host.data().join(file))?;
        assert!(!content.windows(secret.len()).any(|part| part == secret.as_bytes()), "{file} has the key");
    }
    assert!(!host.log().contains(secret));
    let forged = format!("{start}_{}", secret.chars().rev().collect::<String>());
    for wrong in [&*forged, "bh_", "bh_000000000000_00", "no key", &host.token.clone()] {
        let reply = host.call(wrong, "echo", "input")?.refused(401, "unauthenticated", &["not one of this host's"])?;
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    host.kill()?;
    let host = Start::default().data_of(&host).start()?;
    wait_until(|| Ok(host.call(key, "echo", "input")?.status == 200))?;
    host.admin("DELETE", &format!("/v1/tenants/t/keys/{id}"), &Value::Null)?.ok()?;
    host.call(key, "echo", "input")?.refused(401, "unauthenticated", &["revoked"]).map(drop)
}

#[test]
fn keys_expire_and_tenants_are_disabled() -> Result<()> {
    let host = with_echo("")?;
    let soon = SystemTime::now() + Duration::from_secs(2);
    let seconds = soon.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let day = |seconds: u64| format!("1970-01-01T00:00:00Z+{seconds}");
    host.admin("POST", "/v1/tenants/t/keys", &json!({ "role": "infer", "expires": day(seconds) }))?.refused(
        400,
        "malformed_request",
        &["is not a time; write"],
    )?;
    host.admin("POST", "/v1/tenants/t/keys", &json!({ "role": "infer", "expires": "2020-01-01" }))?.refused(
        400,
        "invalid_value",
        &["expired already"],
    )?;
    let roles = ["\"king\" is not a role; the roles are infer, deploy and admin"];
    host.admin("POST", "/v1/tenants/t/keys", &json!({ "role": "king" }))?.refused(400, "malformed_request", &roles)?;
    let expires = json!({ "role": "infer", "expires": utc(seconds) });
    let key = host.admin("POST", "/v1/tenants/t/keys", &expires)?.ok()?.json();
    let key = key["key"].as_str().context("no key")?;
    wait_until(|| Ok(host.call(key, "echo", "input")?.status == 401))?;
    host.call(key, "echo", "input")?.refused(401, "unauthenticated", &["has expired"])?;
    let keys = host.admin("GET", "/v1/tenants/t/keys", &Value::Null)?.ok()?.json();
    let states: Vec<&Value> = keys.as_array().into_iter().flatten().map(|key| &key["state"]).collect();
    assert_eq!(states, ["expired"], "{keys}");

    let key = host.key("t", "deploy")?;
    host.admin("POST", "/v1/tenants/t/disable", &Value::Null)?.ok()?;
    host.call(&key, "echo", "input")?.refused(403, "tenant_disabled", &["disabled"])?;
    host.admin_as(&key, "GET", "/v1/models", &Value::Null)?.refused(403, "tenant_disabled", &[])?;
    host.admin("POST", "/v1/tenants/t/enable", &Value::Null)?.ok()?;
    host.version(&key, "echo")?;
    host.admin("DELETE", "/v1/tenants/t", &Value::Null)?.ok()?;
    host.call(&key, "echo", "input")?.refused(401, "unauthenticated", &[])?;
    assert_eq!(host.files_of("blobs")?.len(), 3, "of another tenant's bundle");
    host.admin("DELETE", "/v1/tenants/default", &Value::Null)?.refused(400, "invalid_value", &["disable it"]).map(drop)
}

/// A time in the form of RFC 3339, formatted by the program `date`.
pub(super) fn utc(seconds: u64) -> String {
    let output = std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%FT%TZ"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn each_role_permits_its_own_operations() -> Result<()> {
    let host = with_echo("")?;
    let (infer, deploy, admin) = (host.key("t", "infer")?, host.key("t", "deploy")?, host.key("t", "admin")?);
    for path in ["/v1/models", "/v1/bundles", "/v1/usage", "/v1/tenants", "/v1/audit", "/metrics", "/v1/publishers"] {
        let ask = |key: &str| host.admin_as(key, "GET", path, &Value::Null);
        ask("")?.refused(401, "unauthenticated", &["admin token"])?;
        ask("bh_wrong")?.refused(401, "unauthenticated", &["admin token"])?;
        ask(&infer)?.refused(403, "insufficient_role", &["infer"])?;
        ask(&admin)?.ok()?;
        match path {
            "/v1/models" | "/v1/bundles" | "/v1/usage" => drop(ask(&deploy)?.ok()?),
            _ => drop(ask(&deploy)?.refused(403, "insufficient_role", &["admin"])?),
        }
    }
    for key in [&infer, &deploy, &admin] {
        assert_eq!(host.version(key, "echo")?, "1.0.0");
    }
    host.ask_as(&infer, "POST", "/v2/repository/models/echo/unload", &Value::Null)?.refused(
        403,
        "insufficient_role",
        &[],
    )?;
    host.upload(&infer, "t", b"")?.refused(403, "insufficient_role", &["deploy"])?;
    host.upload("", "t", &vec![0; 4 << 20])?.refused(401, "unauthenticated", &[]).map(drop)
}

/// Acts are refused whether they would succeed or not, since both take the lock of the stored state.
#[test]
fn a_tenants_keys_have_a_rate_of_acts_and_the_operator_has_none() -> Result<()> {
    let host = with_echo("")?;
    let keys = [host.key("t", "deploy")?, host.key("t", "deploy")?];
    let act = |key: &str| host.admin_as(key, "POST", "/v1/models/none/rollback", &Value::Null);
    let mut accepted = 0;
    let refused = loop {
        let reply = act(&keys[accepted % 2])?;
        if reply.status == 429 {
            break reply;
        }
        reply.refused(404, "not_found", &["none"])?;
        accepted += 1;
        assert!(accepted < 2000, "no act was refused");
    };
    assert!(accepted >= 100, "{accepted}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    refused.refused(429, "limit_tenant_acts", &["10 per second", "100 at once"])?;
    let admin = host.key("t", "admin")?;
    for _ in 0..150 {
        act(&admin)?.refused(404, "not_found", &[])?;
    }
    // More than the burst of a tenant's keys.
    for _ in 0..150 {
        act(&host.token)?.refused(404, "not_found", &[])?;
    }
    host.admin_as(&keys[0], "GET", "/v1/models", &Value::Null)?.ok().map(drop)
}

#[test]
fn a_caller_without_a_key_is_the_default_tenant_or_refused() -> Result<()> {
    let host = with_echo("")?;
    assert_eq!(host.version("", "own")?, "1.0.0");
    host.call("", "echo", "input")?.refused(404, "unknown_model", &[])?;
    let nobody = with_echo("[auth]\nanonymous = 'nobody'\n")?;
    nobody.call("", "own", "input")?.refused(401, "unauthenticated", &["requires a key"])?;
    nobody.call(&nobody.key("default", "infer")?, "own", "input")?.ok()?;
    Ok(())
}

fn usage(host: &Host, key: &str) -> Result<Value> {
    Ok(host.admin_as(key, "GET", "/v1/usage", &Value::Null)?.ok()?.json()["usage"].clone())
}

#[test]
fn what_was_used_can_be_billed_after_a_restart() -> Result<()> {
    let mut host = with_echo("")?;
    let key = host.key("t", "deploy")?;
    let replies = (0..3).map(|_| host.call(&key, "echo", "input")?.ok()).collect::<Result<Vec<_>>>()?;
    host.call(&key, "echo", "wrong")?.refused(400, "invalid_input", &[])?;
    host.call("", "own", "input")?.ok()?;
    let rows = usage(&host, &key)?;
    let row = &rows[0];
    assert_eq!((rows.as_array().map(Vec::len), &row["tenant"], &row["model"]), (Some(1), &"t".into(), &"echo".into()));
    assert_eq!((&row["requests"], &row["refused"]), (&3.into(), &1.into()), "{row}");
    assert_eq!(row["reply_bytes"], replies.iter().map(|reply| reply.body.len()).sum::<usize>());
    assert!(row["fuel"].as_u64() > Some(1000) && row["cpu_nanoseconds"].as_u64() > Some(1000), "{row}");
    assert!(row["request_bytes"].as_u64() > Some(200), "{row}");
    assert_eq!(usage(&host, &host.token)?.as_array().map(Vec::len), Some(2));
    host.kill()?;
    let mut host = Start::default().data_of(&host).start()?;
    assert_eq!(usage(&host, &key)?, rows);
    wait_until(|| Ok(host.call(&key, "echo", "input")?.status == 200))?;
    host.terminate()?;
    assert!(host.wait()?.success());
    let host = Start::default().data_of(&host).start()?;
    assert_eq!(usage(&host, &key)?[0]["requests"], 4, "what was counted until the end is stored at the end");
    Ok(())
}

/// The 95th percentile of the durations of 200 calls of `echo`.
fn slowest(host: &Host, key: &str) -> Result<Duration> {
    let call = || -> Result<Duration> {
        let began = Instant::now();
        host.call(key, "echo", "input")?.ok()?;
        Ok(began.elapsed())
    };
    let mut took = (0..200).map(|_| call()).collect::<Result<Vec<_>>>()?;
    took.sort();
    Ok(took[took.len() * 95 / 100])
}

#[test]
fn endless_calls_of_one_tenant_do_not_starve_another() -> Result<()> {
    let host = with_echo("")?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("hog", &json!({ "call-time": "1s", "concurrency": 16, "queue": 64 }))?;
    acme.push_to(&host, "hog", &Draft::hostile("acme/loop", "1.0.0", "loop"))?.ok()?;
    let (key, hog) = (host.key("t", "infer")?, host.key("hog", "infer")?);
    slowest(&host, &key)?;
    let alone = slowest(&host, &key)?;
    let stop = AtomicBool::new(false);
    let waste = || -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            host.call(&hog, "loop", "x")?;
        }
        Ok(())
    };
    let beside = std::thread::scope(|scope| {
        (0..32).for_each(|_| drop(scope.spawn(waste)));
        let beside = wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 16")));
        let beside = beside.and_then(|()| slowest(&host, &key));
        stop.store(true, Ordering::Relaxed);
        beside
    })?;
    // A call waits for at most one time slice of 5 ms each time that it needs a core.
    let bound = 20 * alone.max(Duration::from_millis(5));
    println!("alone {alone:?}, beside 16 endless calls {beside:?}");
    assert!(beside < bound, "{beside:?} beside endless calls of another tenant, {alone:?} alone");
    Ok(())
}
