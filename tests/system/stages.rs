//! Stages of other bundles: the version is resolved at activation, and revoking it takes the dependent model out of
//! service.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Publisher, Start};

fn library(version: &str) -> Draft {
    Draft::identity("acme/labels", version).replace("[pipeline]\nstages = [\"stage\"]\n", "")
}

fn user(version: &str) -> Draft {
    let stages = "[pipeline]\nstages = [\"acme/labels:stage@^1\"]";
    Draft::new(&format!("[bundle]\nname = \"acme/user\"\nversion = \"{version}\"\n{stages}\n"))
}

#[test]
fn bundles_lend_stages_to_others_until_they_are_revoked() -> Result<()> {
    let mut host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    assert_eq!(acme.push(&host, &library("1.0.0"))?.ok()?.json()["model"], Value::Null);
    acme.push(&host, &library("1.2.0"))?.ok()?;
    acme.push(&host, &library("2.0.0"))?.ok()?;
    acme.push(&host, &user("1.0.0"))?.ok()?;
    assert_eq!(host.call("", "user", "input")?.ok()?.output("output"), [json!(1.0)]);
    let bundles = host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?.json();
    let uses = bundles.as_array().into_iter().flatten().find(|bundle| bundle["name"] == "acme/user");
    assert_eq!(uses.context("no user")?["uses"]["acme/labels:stage@^1"]["version"], "1.2.0", "{bundles}");
    let remove = |draft: &Draft| host.admin("DELETE", &format!("/v1/bundles/{}", draft.digest()), &Value::Null);
    remove(&library("1.2.0"))?.refused(409, "conflict", &["acme/user 1.0.0"])?;
    remove(&library("1.0.0"))?.ok()?;
    host.kill()?;
    let host = Start::default().data_of(&host).start()?;
    system_tests::wait_until(|| Ok(host.call("", "user", "input")?.status == 200))?;
    host.admin("POST", &format!("/v1/bundles/{}/revoke", library("1.2.0").digest()), &json!({ "reason": "hole" }))?
        .ok()?;
    let why = ["it takes stages from acme/labels 1.2.0, which may not be served: revoked: hole"];
    host.call("", "user", "input")?.refused(503, "model_unavailable", &why)?;
    // A version keeps the stage that it was resolved to; a new version resolves to a stage that is valid now.
    acme.push(&host, &user("1.0.0"))?.refused(403, "revoked", &why)?;
    acme.push(&host, &library("1.3.0"))?.ok()?;
    acme.push(&host, &user("1.0.1"))?.ok()?;
    assert_eq!(host.version("", "user")?, "1.0.1");
    Ok(())
}

/// Bundles that use each other's stages do not recurse without end.
#[test]
fn bundles_that_use_each_other_do_no_harm() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let both = |name: &str, version: &str, other: &str| {
        let stages = format!("stages = [\"{other}:stage@^1\"]");
        Draft::identity(name, version).replace("stages = [\"stage\"]", &stages)
    };
    acme.push(&host, &Draft::identity("acme/a", "1.0.0"))?.ok()?;
    acme.push(&host, &both("acme/b", "1.0.0", "acme/a"))?.ok()?;
    acme.push(&host, &both("acme/a", "1.1.0", "acme/b"))?.ok()?;
    acme.push(&host, &both("acme/a", "1.2.0", "acme/a"))?.ok()?;
    for model in ["a", "b"] {
        host.admin("PUT", &format!("/v1/models/{model}/policy"), &json!({ "specific": ["1.0.0"] }))?.ok()?;
    }
    for draft in
        [both("acme/b", "1.0.0", "acme/a"), both("acme/a", "1.2.0", "acme/a"), both("acme/a", "1.1.0", "acme/b")]
    {
        acme.push(&host, &draft)?.ok()?;
    }
    assert_eq!(host.version("", "a")?, "1.0.0");
    assert_eq!(host.version("", "b")?, "1.0.0");
    Ok(())
}
