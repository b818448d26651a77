//! Selection of the version that answers: labels, policies, splits, rollbacks and shadows. Changes of them fail no request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Reply, Start, wait_until};

/// A host with these versions of `echo`.
fn with_versions(versions: &[&str]) -> Result<(Host, Publisher)> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    for version in versions {
        acme.push(&host, &Draft::identity("acme/echo", version))?.ok()?;
    }
    Ok((host, acme))
}

fn set(host: &Host, what: &str, to: &Value) -> Result<Reply> {
    host.admin("PUT", &format!("/v1/models/echo/{what}"), to)
}

fn unset(host: &Host, what: &str) -> Result<Reply> {
    host.admin("DELETE", &format!("/v1/models/echo/{what}"), &Value::Null)
}

fn post(host: &Host, what: &str) -> Result<Reply> {
    host.admin("POST", &format!("/v1/models/echo/{what}"), &Value::Null)
}

fn label(host: &Host, label: &str, version: &str) -> Result<Reply> {
    set(host, &format!("labels/{label}"), &json!({ "version": version }))
}

#[track_caller]
fn answers(host: &Host, cases: &[(&str, &str)]) -> Result<()> {
    for (path, wanted) in cases {
        assert_eq!(host.version("", path)?, *wanted, "{path}");
    }
    Ok(())
}

#[test]
fn versions_labels_and_numbers_find_their_version() -> Result<()> {
    let (mut host, _) = with_versions(&["1.0.0", "1.9.0", "1.10.0", "2.0.0", "3.0.0-beta.1"])?;
    answers(
        &host,
        &[
            ("echo/versions/1.0.0", "1.0.0"),
            ("echo/versions/1", "1.10.0"),
            ("echo/versions/1.9", "1.9.0"),
            ("echo/versions/2", "2.0.0"),
        ],
    )?;
    host.call("", "echo/versions/4", "input")?.refused(404, "unknown_version", &["2.0.0", "1.10.0"])?;
    label(&host, "stable", "1.9.0")?.ok()?;
    label(&host, "canary", "2.0.0")?.ok()?;
    let all = [("echo", "1.9.0"), ("echo/versions/canary", "2.0.0"), ("echo/versions/stable", "1.9.0")];
    answers(&host, &all)?;
    label(&host, "2", "2.0.0")?.refused(400, "invalid_value", &["digit"])?;
    label(&host, "Bad", "2.0.0")?.refused(400, "invalid_value", &["lowercase letters"])?;
    label(&host, "canary", "9.0.0")?.refused(409, "conflict", &["9.0.0", "not active"])?;
    unset(&host, "labels/none")?.refused(404, "not_found", &["none"])?;
    host.kill()?;
    let host = Start::default().data_of(&host).start()?;
    wait_until(|| Ok(host.get("/v2/health/ready")?.status == 200))?;
    answers(&host, &all)?;
    unset(&host, "labels/stable")?.ok()?;
    post(&host, "versions/2.0.0/retire")?.ok()?;
    post(&host, "versions/3.0.0-beta.1/retire")?.ok()?;
    answers(&host, &[("echo", "1.10.0")])?;
    host.call("", "echo/versions/canary", "input")?.refused(404, "unknown_version", &["1.10.0"])?;
    Ok(())
}

/// A label whose version was revoked does not block other changes. Requests that it routed get no other version instead.
#[test]
fn what_was_revoked_under_a_label_leaves_the_rest_changeable() -> Result<()> {
    let (host, _) = with_versions(&["1.0.0", "2.0.0", "3.0.0"])?;
    label(&host, "old", "1.0.0")?.ok()?;
    label(&host, "stable", "2.0.0")?.ok()?;
    for version in ["1.0.0", "2.0.0"] {
        let digest = Draft::identity("acme/echo", version).digest();
        host.admin("POST", &format!("/v1/bundles/{digest}/revoke"), &json!({ "reason": "it steals" }))?.ok()?;
    }
    let gone = [
        "the label \"stable\" names 2.0.0, which is not served any more (2.0.0: revoked: it steals), and",
        "It has: 3.0.0",
    ];
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &gone)?;
    host.call("", "echo/versions/old", "input")?.refused(
        503,
        "model_unavailable",
        &["the label \"old\" names 1.0.0"],
    )?;
    host.wait_for_log(&["not served any more", "\"version\":\"2.0.0\""])?;
    let model = host.admin("GET", "/v1/models/echo", &Value::Null)?.ok()?.json();
    assert_eq!((&model["serves"], model["not_served_because"].is_string()), (&Value::Null, true), "{model}");
    let exact = ["version 2.0.0 is not served any more: revoked: it steals"];
    host.call("", "echo/versions/2.0.0", "input")?.refused(503, "model_unavailable", &exact)?;
    label(&host, "new", "3.0.0")?.ok()?;
    unset(&host, "labels/old")?.ok()?;
    assert_eq!(post(&host, "rollback")?.ok()?.json()["serves"], "3.0.0");
    answers(&host, &[("echo", "3.0.0")])
}

/// The audit log says which labels, split and shadow went with a version that was retired.
#[test]
fn the_audit_log_has_the_routes_that_a_retired_version_lost() -> Result<()> {
    let (host, _) = with_versions(&["1.0.0", "2.0.0"])?;
    label(&host, "stable", "1.0.0")?.ok()?;
    label(&host, "old", "1.0.0")?.ok()?;
    post(&host, "versions/1.0.0/retire")?.ok()?;
    let audit = host.admin("GET", "/v1/audit?limit=1000", &Value::Null)?.ok()?.json();
    let entry = audit.as_array().and_then(|entries| entries.last()).context("no entry")?;
    assert_eq!(entry["what"], "model retire", "{entry}");
    assert_eq!(entry["before"]["routing"]["labels"], json!({ "stable": "1.0.0", "old": "1.0.0" }));
    assert_eq!((&entry["after"]["state"], &entry["after"]["routing"]["labels"]), (&json!("retired"), &json!({})));
    Ok(())
}

#[test]
fn what_was_revoked_is_not_activated() -> Result<()> {
    let (host, _) = with_versions(&["1.0.0", "2.0.0"])?;
    post(&host, "versions/1.0.0/retire")?.ok()?;
    let digest = Draft::identity("acme/echo", "1.0.0").digest();
    host.admin("POST", &format!("/v1/bundles/{digest}/revoke"), &json!({ "reason": "it steals" }))?.ok()?;
    post(&host, "versions/1.0.0/activate")?.refused(409, "conflict", &["cannot be activated", "it steals"])?;
    answers(&host, &[("echo", "2.0.0")])
}

#[test]
fn the_rest_of_a_split_takes_the_share_of_what_was_revoked() -> Result<()> {
    let (host, _) = with_versions(&["1.0.0", "2.0.0", "3.0.0"])?;
    set(&host, "split", &json!({ "weights": { "1.0.0": 1, "2.0.0": 99 }, "sticky": "nothing" }))?.ok()?;
    let revoke = |version: &str| {
        let digest = Draft::identity("acme/echo", version).digest();
        host.admin("POST", &format!("/v1/bundles/{digest}/revoke"), &json!({}))?.ok()
    };
    revoke("2.0.0")?;
    for _ in 0..20 {
        answers(&host, &[("echo", "1.0.0")])?;
    }
    revoke("1.0.0")?;
    let gone = ["the split names 1.0.0 and 2.0.0", "(1.0.0: revoked; 2.0.0: revoked)"];
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &gone)?;
    let model = host.admin("GET", "/v1/models/echo", &Value::Null)?.ok()?.json();
    let why = model["not_served_because"].as_str().unwrap_or_default();
    assert!(gone.iter().all(|part| why.contains(part)), "the model says what its clients get: {model}");
    Ok(())
}

/// A model of which nothing is left says so, with the reason, until it was retired or deleted: then it is unknown to clients.
#[test]
fn a_model_that_was_revoked_as_a_whole_says_why() -> Result<()> {
    let (mut host, _) = with_versions(&["1.0.0"])?;
    let digest = Draft::identity("acme/echo", "1.0.0").digest();
    let revoke = |host: &Host, reason: &str| {
        host.admin("POST", &format!("/v1/bundles/{digest}/revoke"), &json!({ "reason": reason }))?.ok()
    };
    let refused = |host: &Host, why: &str| -> Result<()> {
        let text = format!("model \"echo\" version 1.0.0 is not served any more: {why}");
        for of in ["", "/versions/1.0.0", "/versions/1"] {
            let reply = host.call("", &format!("echo{of}"), "input")?;
            let reply = reply.refused(503, "model_unavailable", &[&text])?;
            assert!(reply.json()["error"].as_str().is_some_and(|error| error.ends_with(why)), "{reply:?}");
        }
        assert_eq!(host.get("/v2/models/echo/ready")?.status, 503);
        let model = host.admin_get("/v1/models/echo")?.ok()?.json();
        assert_eq!(model["not_served_because"], text, "{model}");
        assert_eq!((&model["versions"][0]["state"], &model["versions"][0]["reason"]), (&json!("revoked"), &json!(why)));
        let bundle = host.admin_get("/v1/bundles")?.ok()?.json()[0].take();
        assert_eq!((&bundle["state"], &bundle["not_served_because"]), (&json!("revoked"), &json!(why)));
        Ok(())
    };
    revoke(&host, " ")?;
    refused(&host, "revoked")?;
    revoke(&host, "it steals")?;
    refused(&host, "revoked: it steals")?;
    revoke(&host, "")?;
    refused(&host, "revoked: it steals")?;
    let audit = host.admin_get("/v1/audit?limit=1000")?.ok()?.json();
    let revocations = audit.as_array().into_iter().flatten().filter(|entry| entry["what"] == "bundle revoke");
    let reasons: Vec<_> = revocations.map(|entry| (&entry["before"]["reason"], &entry["after"]["reason"])).collect();
    assert_eq!(reasons, [(&Value::Null, &json!("")), (&json!(""), &json!("it steals"))], "{audit}");
    host.kill()?;
    host = Start::default().data_of(&host).start()?;
    refused(&host, "revoked: it steals")?;
    host.admin("DELETE", &format!("/v1/bundles/{digest}"), &Value::Null)?.ok()?;
    host.call("", "echo", "input")?.refused(404, "unknown_model", &[])?;
    let model = host.admin_get("/v1/models/echo")?.ok()?.json();
    assert!(model["not_served_because"].as_str().is_some_and(|why| why.contains("retired or deleted")), "{model}");
    let bundle = host.admin_get("/v1/bundles")?.ok()?.json()[0].take();
    assert_eq!((&bundle["state"], &bundle["not_served_because"]), (&json!("deleted"), &Value::Null));
    Ok(())
}

/// A pre-release serves whom its number or a label sends there, and takes no release out of service.
#[test]
fn a_pre_release_serves_only_those_who_name_it() -> Result<()> {
    let (host, acme) = with_versions(&["1.1.0-rc.1"])?;
    host.call("", "echo", "input")?.refused(404, "unknown_version", &["pre-releases only", "1.1.0-rc.1"])?;
    let counted = host.get("/v2/models/echo/stats")?.ok()?.json();
    assert_eq!(counted["model_stats"][0]["version"], "1.1.0-rc.1", "statistics are of all versions");
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    set(&host, "policy", &json!({ "latest": 1 }))?.ok()?;
    acme.push(&host, &Draft::identity("acme/echo", "1.1.0-rc.2"))?.ok()?;
    answers(&host, &[("echo", "1.0.0"), ("echo/versions/1", "1.0.0"), ("echo/versions/1.1.0-rc.2", "1.1.0-rc.2")])?;
    label(&host, "stable", "1.1.0-rc.2")?.ok()?;
    answers(&host, &[("echo", "1.1.0-rc.2")])?;
    // A stage of another bundle gets a pre-release only if it names one.
    let user = |version: &str, wanted: &str| {
        let stage = format!("[\"acme/echo:stage@{wanted}\"]");
        acme.push(&host, &Draft::identity("acme/user", version).replace("[\"stage\"]", &stage))
    };
    let used = |version: usize| -> Result<Value> {
        let bundles = host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?.json();
        let users = bundles.as_array().into_iter().flatten().filter(|bundle| bundle["name"] == "acme/user");
        let bundle = users.into_iter().nth(version).context("the user's bundle")?;
        let used = bundle["uses"].as_object().and_then(|uses| uses.values().next()).context("nothing is used")?;
        Ok(used["version"].clone())
    };
    user("1.0.0", "^1")?.ok()?;
    assert_eq!(used(0)?, "1.0.0");
    user("2.0.0", "^1.1.0-rc.1")?.ok()?;
    assert_eq!(used(1)?, "1.1.0-rc.2");
    Ok(())
}

#[test]
fn policies_keep_all_the_newest_or_some() -> Result<()> {
    let (host, acme) = with_versions(&["1.0.0", "2.0.0", "3.0.0"])?;
    let active = || -> Result<BTreeSet<String>> {
        let model = host.admin("GET", "/v1/models/echo", &Value::Null)?.ok()?.json();
        let versions = model["versions"].as_array().context("no versions")?.iter();
        let ready = versions.filter(|version| version["state"] == "ready");
        Ok(ready.filter_map(|version| Some(version["version"].as_str()?.to_owned())).collect())
    };
    let set_of = |versions: &[&str]| versions.iter().map(|version| version.to_string()).collect::<BTreeSet<_>>();
    set(&host, "policy", &json!({ "latest": 1 }))?.ok()?;
    assert_eq!(active()?, set_of(&["3.0.0"]));
    host.call("", "echo/versions/1.0.0", "input")?.refused(404, "unknown_version", &["3.0.0"])?;
    set(&host, "policy", &json!({ "specific": ["1.0.0", "2.0.0"] }))?.ok()?;
    wait_until(|| Ok(active()? == set_of(&["1.0.0", "2.0.0"])))?;
    acme.push(&host, &Draft::identity("acme/echo", "4.0.0"))?.ok()?;
    answers(&host, &[("echo", "2.0.0")])?;
    set(&host, "policy", &json!("all"))?.ok()?;
    wait_until(|| Ok(active()?.len() == 4))?;
    for nothing in [json!({ "latest": 0 }), json!({ "specific": [] })] {
        set(&host, "policy", &nothing)?.refused(400, "invalid_value", &["no version"])?;
    }
    set(&host, "policy", &json!("newest"))?.refused(400, "malformed_request", &[])?;
    // A label keeps its version, whatever is uploaded later.
    label(&host, "stable", "1.0.0")?.ok()?;
    set(&host, "policy", &json!({ "latest": 1 }))?.ok()?;
    acme.push(&host, &Draft::identity("acme/echo", "5.0.0"))?.ok()?;
    assert_eq!(active()?, set_of(&["1.0.0", "5.0.0"]));
    answers(&host, &[("echo", "1.0.0")])
}

/// Counts of the versions that answered requests with this header.
fn dealt(host: &Host, key: &str, header: impl Fn(usize) -> String) -> Result<BTreeMap<String, usize>> {
    let tensor = json!({ "name": "input", "datatype": "FP32", "shape": [1], "data": [1.0] });
    let body = json!({ "inputs": [tensor] }).to_string();
    let mut dealt = BTreeMap::new();
    for number in 0..200 {
        let (user, bearer) = (header(number), format!("Bearer {key}"));
        let mut headers = vec![("content-type", "application/json"), ("x-user", user.as_str())];
        headers.extend((!key.is_empty()).then_some(("authorization", bearer.as_str())));
        let reply = host.send("/v2/models/echo/infer", &headers, body.as_bytes())?.ok()?;
        *dealt.entry(reply.json()["model_version"].as_str().context("no version")?.to_owned()).or_default() += 1;
    }
    Ok(dealt)
}

#[test]
fn a_split_deals_by_weight_and_callers_stay() -> Result<()> {
    let (host, _) = with_versions(&["1.0.0", "2.0.0", "3.0.0"])?;
    let weights = json!({ "1.0.0": 70, "2.0.0": 30 });
    let split = |sticky: Value| set(&host, "split", &json!({ "weights": weights, "sticky": sticky }));
    split(json!("nothing"))?.ok()?;
    let by_one = dealt(&host, "", |_| "same".into())?;
    assert!((30..=90).contains(&by_one["2.0.0"]) && !by_one.contains_key("3.0.0"), "{by_one:?}");
    split(json!({ "header": "X-User" }))?.ok()?;
    assert_eq!(dealt(&host, "", |_| "anna".into())?.len(), 1);
    let by_user = dealt(&host, "", |number| number.to_string())?;
    assert!((30..=90).contains(&by_user["2.0.0"]), "{by_user:?}");
    assert_eq!(dealt(&host, "", |number| number.to_string())?, by_user);
    split(json!("tenant"))?.ok()?;
    assert_eq!(dealt(&host, "", |number| number.to_string())?.len(), 1);
    answers(&host, &[("echo/versions/3.0.0", "3.0.0")])?;
    for (weights, status, code) in [
        (json!({ "1.0.0": 1 }), 400, "invalid_value"),
        (json!({ "1.0.0": 0, "2.0.0": 0 }), 400, "invalid_value"),
        (json!({ "1.0.0": 1, "9.0.0": 1 }), 409, "conflict"),
    ] {
        set(&host, "split", &json!({ "weights": weights, "sticky": "nothing" }))?.refused(status, code, &[])?;
    }
    post(&host, "versions/2.0.0/retire")?.ok()?;
    answers(&host, &[("echo", "3.0.0")])
}

/// Versions are added and removed while requests arrive continuously. No request fails, and each response is from a version
/// that was served.
#[test]
fn changes_of_versions_fail_no_request() -> Result<()> {
    let (host, acme) = with_versions(&["1.0.0", "2.0.0"])?;
    let stop = AtomicBool::new(false);
    let ask = || -> Result<BTreeSet<String>> {
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            seen.insert(host.version("", "echo")?);
        }
        Ok(seen)
    };
    let change = || -> Result<()> {
        for _ in 0..30 {
            label(&host, "stable", "2.0.0")?.ok()?;
            let model = post(&host, "rollback")?.ok()?.json();
            assert_eq!(model["serves"], "1.0.0", "{model}");
            label(&host, "stable", "1.0.0")?.ok()?;
            unset(&host, "labels/stable")?.ok()?;
            post(&host, "versions/2.0.0/retire")?.ok()?;
            post(&host, "versions/2.0.0/activate")?.ok()?;
            let ready = || Ok(host.call("", "echo/versions/2.0.0", "input")?.status == 200);
            wait_until(ready)?;
            label(&host, "stable", "1.0.0")?.ok()?;
        }
        acme.push(&host, &Draft::identity("acme/echo", "1.5.0"))?.ok().map(drop)
    };
    let seen = std::thread::scope(|scope| -> Result<_> {
        let askers = [scope.spawn(ask), scope.spawn(ask)];
        let changed = change();
        stop.store(true, Ordering::Relaxed);
        let seen = askers.into_iter().map(|asker| asker.join().unwrap()).collect::<Result<Vec<_>>>();
        changed.and(seen)
    })?;
    let seen: BTreeSet<String> = seen.into_iter().flatten().collect();
    assert_eq!(seen, BTreeSet::from(["1.0.0".into(), "2.0.0".into()]));
    Ok(())
}

#[test]
fn a_rollback_goes_back_to_what_served_before() -> Result<()> {
    let (host, acme) = with_versions(&["1.0.0"])?;
    post(&host, "rollback")?.refused(409, "conflict", &["no earlier version", "active are: 1.0.0"])?;
    for version in ["2.0.0", "3.0.0"] {
        acme.push(&host, &Draft::identity("acme/echo", version))?.ok()?;
    }
    for wanted in ["2.0.0", "1.0.0"] {
        assert_eq!(post(&host, "rollback")?.ok()?.json()["serves"], wanted);
        answers(&host, &[("echo", wanted)])?;
    }
    let forward = ["no earlier version", "model label echo stable VERSION", "active are: 1.0.0, 2.0.0, 3.0.0"];
    post(&host, "rollback")?.refused(409, "conflict", &forward)?;
    // A later upload does not replace a version that was rolled back to.
    acme.push(&host, &Draft::identity("acme/echo", "4.0.0"))?.ok()?;
    answers(&host, &[("echo", "1.0.0")])
}

#[test]
fn a_request_in_flight_finishes_on_its_version() -> Result<()> {
    let host = Start::default().config("[call]\ntime = '3s'\nfuel = '1 T'\n").start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let slow = Draft::hostile("acme/slow", "1.0.0", "loop");
    acme.push(&host, &slow)?.ok()?;
    host.limit("default", &json!({ "call-time": "1s" }))?;
    std::thread::scope(|scope| -> Result<()> {
        let running = scope.spawn(|| host.call("", "slow", "x"));
        wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 1")))?;
        host.admin("DELETE", &format!("/v1/bundles/{}", slow.digest()), &Value::Null)?.ok()?;
        host.call("", "slow", "x")?.refused(404, "unknown_model", &[])?;
        running.join().unwrap()?.refused(504, "limit_time", &["time limit of 1s"]).map(drop)
    })
}

/// Versions 1.0.0 and 1.1.0 answer 0, version 2.0.0 returns its input, and version 3.0.0 always fails.
#[test]
fn a_shadow_is_compared_and_never_returned() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    for (version, misdeed) in [("1.0.0", "secret"), ("1.1.0", "secret"), ("2.0.0", "print-forgery"), ("3.0.0", "trap")]
    {
        acme.push(&host, &Draft::hostile("acme/echo", version, misdeed))?.ok()?;
    }
    label(&host, "stable", "1.0.0")?.ok()?;
    for (version, outcome) in [("1.1.0", "same"), ("2.0.0", "different"), ("3.0.0", "failed")] {
        set(&host, "shadow", &json!({ "version": version, "percent": 100 }))?.ok()?;
        for _ in 0..5 {
            let reply = host.call("", "echo", "x")?.ok()?;
            assert_eq!((&reply.json()["model_version"], reply.output("y")), (&"1.0.0".into(), vec![json!(0.0)]));
        }
        let counted =
            |line: &&str| line.starts_with("bulkhead_shadow") && line.contains(version) && line.contains(outcome);
        wait_until(|| Ok(host.metrics()?.lines().find(counted).is_some_and(|line| line.ends_with(" 5"))))
            .with_context(|| format!("{version} {outcome}"))?;
    }
    // The shadow's fuel is on the owner's bill.
    let fuel = || -> Result<u64> {
        let usage = host.admin("GET", "/v1/usage?tenant=default", &Value::Null)?.ok()?.json();
        let lines = usage["usage"].as_array().context("no usage")?.clone();
        Ok(lines.iter().filter(|line| line["model"] == "echo").filter_map(|line| line["fuel"].as_u64()).sum())
    };
    unset(&host, "shadow")?.ok()?;
    let before = fuel()?;
    host.call("", "echo", "x")?.ok()?;
    let alone = fuel()? - before;
    set(&host, "shadow", &json!({ "version": "1.1.0", "percent": 100 }))?.ok()?;
    host.call("", "echo", "x")?.ok()?;
    wait_until(|| Ok(fuel()? - before > 2 * alone)).context("the shadow is not on the bill")?;
    set(&host, "shadow", &json!({ "version": "2.0.0", "percent": 0 }))?.refused(400, "invalid_value", &["percent"])?;
    unset(&host, "shadow")?.ok().map(drop)
}

/// The caller has fuel, and the owner of the model, who pays for the shadow, has none.
#[test]
fn a_shadow_of_an_owner_without_fuel_is_skipped() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("caller", &json!({}))?;
    let caller = host.key("caller", "infer")?;
    for version in ["1.0.0", "2.0.0"] {
        acme.push(&host, &Draft::identity("acme/echo", version))?.ok()?;
    }
    acme.push(&host, &Draft::hostile("acme/loop", "1.0.0", "loop"))?.ok()?;
    label(&host, "stable", "1.0.0")?.ok()?;
    set(&host, "shadow", &json!({ "version": "2.0.0", "percent": 100 }))?.ok()?;
    host.admin("PUT", "/v1/models/echo/sharing", &json!({ "tenants": ["caller"] }))?.ok()?;
    // The debt of one call takes minutes to pay at this rate.
    host.limit("default", &json!({ "call-fuel": "4 M", "fuel-per-second": "10 k", "fuel-burst": "1 M" }))?;
    host.call("", "loop", "x")?.refused(500, "limit_fuel", &[])?;
    host.call("", "echo", "x")?.refused(429, "limit_tenant_fuel", &[])?;
    assert_eq!(host.call(&caller, "echo", "input")?.ok()?.json()["model_version"], "1.0.0");
    let skipped =
        |line: &&str| line.starts_with("bulkhead_shadow") && line.contains("2.0.0") && line.contains("skipped");
    wait_until(|| Ok(host.metrics()?.lines().find(skipped).is_some_and(|line| line.ends_with(" 1"))))
}
