//! Publishers: what they are trusted with, when, and what happens to served versions when trust becomes narrower.

use anyhow::Result;
use serde_json::{Value, json};
use system_tests::{Draft, Publisher, Start, wait_until};

/// Asks for an import, and is the identity.
fn logs(name: &str, version: &str) -> Draft {
    Draft::identity(name, version).replace("config =", "imports = [\"logging\"]\nconfig =")
}

/// Narrower trust is refused while a served version rests on what it takes away, and stops that version at once if it is
/// confirmed; a restart changes nothing about either.
#[test]
fn narrower_trust_stops_versions_only_if_that_is_confirmed() -> Result<()> {
    let mut host = Start::default().start()?;
    let acme = Publisher::new("acme");
    acme.trust(&host, &json!({ "imports": ["assets"] }))?.ok()?;
    let missing = ["imports logging", "--add-imports logging", "granted: assets"];
    acme.push(&host, &logs("acme/echo", "1.0.0"))?.refused(403, "not_permitted", &missing)?;
    let imports = ["there is no import \"disk\"; the imports are assets, logging, graphs, clocks, random"];
    acme.trust(&host, &json!({ "add_imports": ["disk"] }))?.refused(400, "malformed_request", &imports)?;
    let union = acme.trust(&host, &json!({ "add_imports": ["logging"] }))?.ok()?.json();
    assert_eq!(union["imports"], json!(["assets", "logging"]), "{union}");
    acme.push(&host, &logs("acme/echo", "1.0.0"))?.ok()?;
    acme.push(&host, &Draft::identity("acme/plain", "1.0.0"))?.ok()?;
    // A bundle that takes a stage from another one rests on its imports, too.
    let user = Draft::identity("acme/user", "1.0.0").replace("[\"stage\"]", "[\"acme/echo:stage@^1\"]");
    acme.push(&host, &user)?.ok()?;

    let narrower = [
        (json!({ "imports": ["assets"] }), vec!["acme/echo 1.0.0", "acme/user 1.0.0", "imports logging", "--yes"]),
        (json!({ "names": ["acme/plain"] }), vec!["acme/echo 1.0.0", "acme/user 1.0.0", "Nothing was changed"]),
    ];
    for (request, stops) in &narrower {
        let refused = host.admin("PUT", "/v1/publishers/acme", request)?.refused(409, "conflict", stops)?;
        assert!(!refused.body.contains("acme/plain 1.0.0"), "{refused:?}");
        assert_eq!(host.version("", "echo")?, "1.0.0");
    }
    let stop = json!({ "imports": ["assets"], "stop": true });
    host.admin("PUT", "/v1/publishers/acme", &stop)?.ok()?;
    let lacks = "it asks for the imports logging, which publisher \"acme\" is not granted any more";
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &[lacks])?;
    let borrowed = ["it takes stages from acme/echo 1.0.0, which may not be served", lacks];
    host.call("", "user", "input")?.refused(503, "model_unavailable", &borrowed)?;
    assert_eq!(host.version("", "plain")?, "1.0.0");
    let bundles = host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?;
    assert!(bundles.body.contains("asks for the imports logging, which publisher"), "{bundles:?}");

    host.kill()?;
    let host = Start::default().data_of(&host).start()?;
    wait_until(|| Ok(host.get("/v2/health/ready")?.status == 200))?;
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &[lacks])?;
    acme.trust(&host, &json!({ "add_imports": ["logging"] }))?.ok()?;
    wait_until(|| Ok(host.call("", "echo", "input")?.status == 200))
}

/// Uploads, and what is served of them, rest on the publisher that has the rights, whichever of them comes first.
#[test]
fn two_publishers_with_one_key_are_one_choice() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::new("acme");
    for (name, imports) in [("aaa", json!([])), ("acme", json!(["logging"])), ("zzz", json!([]))] {
        let trust = json!({ "key": acme.pem(), "names": ["acme/*"], "imports": imports });
        host.admin("PUT", &format!("/v1/publishers/{name}"), &trust)?.ok()?;
    }
    acme.push(&host, &logs("acme/echo", "1.0.0"))?.ok()?;
    assert_eq!(host.version("", "echo")?, "1.0.0");
    host.admin("PUT", "/v1/publishers/acme", &json!({ "imports": [], "stop": true }))?.ok()?;
    acme.push(&host, &logs("acme/echo", "1.1.0"))?.refused(403, "not_permitted", &["imports logging"])?;
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &["imports logging"]).map(drop)
}

#[test]
fn keys_count_inside_their_window_and_until_they_are_revoked() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::new("acme");
    let draft = Draft::identity("acme/echo", "1.0.0");
    let windows = [
        (json!({ "not_before": "2999-01-01" }), "not yet", "valid from 2999-01-01T00:00:00Z on"),
        (json!({ "not_before": null, "not_after": "2001-01-01" }), "ended", "valid until 2001-01-01T00:00:00Z"),
    ];
    for (window, state, valid) in windows {
        let publisher = acme.trust(&host, &window)?.ok()?.json();
        assert_eq!(publisher["keys"][0]["state"], state, "{publisher}");
        acme.push(&host, &draft)?.refused(403, "not_permitted", &[valid, &acme.hint()])?;
    }
    // A bound that is not given stays, so this key would never be valid.
    acme.trust(&host, &json!({ "not_before": "2001-01-01" }))?.refused(400, "invalid_value", &["which is never"])?;
    let window = json!({ "not_before": "2001-01-01" });
    host.admin("PUT", "/v1/publishers/acme", &window)?.refused(400, "invalid_value", &["key"])?;
    acme.trust(&host, &json!({ "not_before": "2001-01-01", "not_after": "2999-01-01" }))?.ok()?;
    let kept = acme.trust(&host, &json!({}))?.ok()?.json();
    let key = &kept["keys"][0];
    assert_eq!((&key["state"], &key["not_after"]), (&json!("valid"), &json!("2999-01-01T00:00:00Z")), "{kept}");
    acme.push(&host, &draft)?.ok()?;
    assert_eq!(host.version("", "echo")?, "1.0.0");

    host.admin("PUT", "/v1/publishers/acme", &json!({ "names": ["acme/other"], "stop": true }))?.ok()?;
    let named = ["publisher \"acme\", whose key signed it, may not publish acme/echo any more"];
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &named)?;
    host.admin("PUT", "/v1/publishers/acme", &json!({ "names": ["acme/*"] }))?.ok()?;
    wait_until(|| Ok(host.call("", "echo", "input")?.status == 200))?;
    host.admin("DELETE", "/v1/publishers/acme", &Value::Null)?.ok()?;
    let nobody = ["no publisher is trusted any more that has the key which signed it", &acme.hint()];
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &nobody)?;
    acme.trust(&host, &json!({}))?.ok()?;
    wait_until(|| Ok(host.call("", "echo", "input")?.status == 200))?;
    acme.revoke_key(&host)?.ok()?;
    let revoked = [&*format!("the key that signed it, {} of publisher \"acme\", was revoked at 2", acme.hint())];
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &revoked)?;
    acme.push(&host, &draft)?.refused(403, "untrusted", &[])?;
    // The key stays revoked when it is trusted again, under another name, or after its publisher was removed.
    acme.trust(&host, &json!({}))?.refused(400, "invalid_value", &["revoked"])?;
    let again = json!({ "key": acme.pem() });
    host.admin("PUT", "/v1/publishers/acme2", &again)?.refused(400, "invalid_value", &["revoked"])?;
    host.admin("DELETE", "/v1/publishers/acme", &Value::Null)?.ok()?;
    acme.trust(&host, &json!({}))?.refused(400, "invalid_value", &["revoked"])?;
    // The same contents are accepted with another key of the publisher, because only the first key was revoked.
    let other = Publisher::trusted("acme", &host)?;
    assert_eq!(other.push(&host, &draft)?.ok()?.json()["already"], false);
    assert_eq!(host.version("", "echo")?, "1.0.0");
    Ok(())
}
