//! Isolation of two tenants on one host: a request for a resource of the other tenant gets the same reply as a request for
//! a name that does not exist, except for the name.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Reply, Start, wait_until};

/// Names of the other tenant's resources, or names that do not exist.
struct Names {
    tenant: String,
    model: String,
    version: String,
    digest: String,
    key: String,
}

impl Names {
    fn fill(&self, text: &str) -> String {
        self.all().into_iter().fold(text.to_owned(), |text, (slot, name)| text.replace(slot, name))
    }

    /// The text with each name replaced by its placeholder.
    fn erase(&self, text: &str) -> String {
        self.all().into_iter().fold(text.to_owned(), |text, (slot, name)| text.replace(name, slot))
    }

    fn all(&self) -> [(&'static str, &str); 5] {
        let Names { tenant, model, version, digest, key } = self;
        [("{digest}", digest), ("{tenant}", tenant), ("{model}", model), ("{version}", version), ("{key}", key)]
    }
}

const INFER: &str = r#"{"inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[1]}]}"#;
const LABEL: &str = r#"{"version":"{version}"}"#;
const SPLIT: &str = r#"{"weights":{"{version}":1,"1.0.0":1},"sticky":"nothing"}"#;

/// Requests to the clients' port: method, path and body.
const CLIENT: [(&str, &str, &str); 24] = [
    ("GET", "/v2/models/{model}", ""),
    ("GET", "/v2/models/{model}/ready", ""),
    ("GET", "/v2/models/{model}/config", ""),
    ("GET", "/v2/models/{model}/stats", ""),
    ("GET", "/v2/models/{model}/versions/{version}", ""),
    ("GET", "/v2/models/{model}/versions/{version}/ready", ""),
    ("GET", "/v2/models/{model}/versions/{version}/config", ""),
    ("GET", "/v2/models/{model}/versions/{version}/stats", ""),
    ("GET", "/v2/models/{model}/versions/stable", ""),
    ("GET", "/v2/models/acme%2F{model}", ""),
    ("POST", "/v2/models/{model}/infer", INFER),
    ("POST", "/v2/models/{model}/infer", "no request"),
    ("POST", "/v2/models/{model}/versions/{version}/infer", INFER),
    ("POST", "/v2/models/{model}/versions/stable/infer", INFER),
    ("POST", "/v2/models/{model}/generate", r#"{"input":1}"#),
    ("POST", "/v2/models/{model}/generate_stream", r#"{"input":1}"#),
    ("PUT", "/v2/models/{model}", ""),
    ("POST", "/v2/repository/models/{model}/load", ""),
    ("POST", "/v2/repository/models/{model}/unload", ""),
    ("POST", "/v2/repository/index", ""),
    ("GET", "/v2/models/stats", ""),
    ("GET", "/v2/models", ""),
    ("GET", "/v2/health/ready", ""),
    ("GET", "/v2", ""),
];

/// Requests to the operator's port: method, path and body.
const OPERATOR: [(&str, &str, &str); 48] = [
    ("GET", "/v1/models", ""),
    ("GET", "/v1/models?tenant={tenant}", ""),
    ("GET", "/v1/models/{model}", ""),
    ("GET", "/v1/models/{model}?tenant={tenant}", ""),
    ("PUT", "/v1/models/{model}/labels/stable", LABEL),
    ("PUT", "/v1/models/{model}/labels/stable?tenant={tenant}", LABEL),
    ("PUT", "/v1/models/own/labels/stable", LABEL),
    ("DELETE", "/v1/models/{model}/labels/stable", ""),
    ("DELETE", "/v1/models/{model}/labels/stable?tenant={tenant}", ""),
    ("PUT", "/v1/models/{model}/split", SPLIT),
    ("PUT", "/v1/models/{model}/split?tenant={tenant}", SPLIT),
    ("PUT", "/v1/models/own/split", SPLIT),
    ("DELETE", "/v1/models/{model}/split", ""),
    ("PUT", "/v1/models/{model}/shadow", r#"{"version":"{version}","percent":1}"#),
    ("PUT", "/v1/models/own/shadow", r#"{"version":"{version}","percent":1}"#),
    ("DELETE", "/v1/models/{model}/shadow?tenant={tenant}", ""),
    ("PUT", "/v1/models/{model}/policy", r#"{"latest":1}"#),
    ("PUT", "/v1/models/{model}/policy?tenant={tenant}", r#"{"latest":1}"#),
    ("PUT", "/v1/models/{model}/sharing", r#""everybody""#),
    ("PUT", "/v1/models/{model}/sharing?tenant={tenant}", r#""everybody""#),
    ("POST", "/v1/models/{model}/rollback", ""),
    ("POST", "/v1/models/{model}/rollback?tenant={tenant}", ""),
    ("POST", "/v1/models/{model}/versions/{version}/retire", ""),
    ("POST", "/v1/models/{model}/versions/{version}/retire?tenant={tenant}", ""),
    ("POST", "/v1/models/own/versions/{version}/retire", ""),
    ("POST", "/v1/models/{model}/versions/{version}/activate", ""),
    ("GET", "/v1/bundles", ""),
    ("GET", "/v1/bundles?tenant={tenant}", ""),
    ("DELETE", "/v1/bundles/{digest}", ""),
    ("DELETE", "/v1/bundles/{digest}?tenant={tenant}", ""),
    ("POST", "/v1/bundles/{digest}/revoke", ""),
    ("POST", "/v1/bundles?tenant={tenant}", ""),
    ("GET", "/v1/usage", ""),
    ("GET", "/v1/usage?tenant={tenant}", ""),
    ("GET", "/v1/tenants", ""),
    ("GET", "/v1/tenants/{tenant}", ""),
    ("POST", "/v1/tenants", r#"{"name":"{tenant}"}"#),
    ("DELETE", "/v1/tenants/{tenant}", ""),
    ("PATCH", "/v1/tenants/{tenant}/limits", "{}"),
    ("POST", "/v1/tenants/{tenant}/disable", ""),
    ("POST", "/v1/tenants/{tenant}/enable", ""),
    ("GET", "/v1/tenants/{tenant}/keys", ""),
    ("POST", "/v1/tenants/{tenant}/keys", r#"{"role":"infer"}"#),
    ("DELETE", "/v1/tenants/{tenant}/keys/{key}", ""),
    ("DELETE", "/v1/tenants/own/keys/{key}", ""),
    ("GET", "/v1/audit", ""),
    ("GET", "/v1/publishers", ""),
    ("GET", "/metrics", ""),
];

/// All parts of a reply by which a caller could distinguish the two cases.
fn seen(reply: &Reply, names: &Names) -> (u16, Vec<(String, String)>, String) {
    let id = reply.header("x-request-id").unwrap_or_default();
    let telling = |(name, _): &&(String, String)| !["x-request-id", "date", "content-length"].contains(&name.as_str());
    let headers = reply.headers.iter().filter(telling).cloned().collect();
    (reply.status, headers, names.erase(&reply.body.replace(id, "{id}")))
}

struct Case<'a> {
    host: &'a Host,
    key: &'a str,
    theirs: &'a Names,
    nobodys: &'a Names,
}

impl Case<'_> {
    fn check(&self, operator: bool, (method, path, body): (&str, &str, &str)) -> Result<Option<String>> {
        let ask = |names: &Names| {
            let (path, body) = (names.fill(path), names.fill(body));
            let url = if operator { &self.host.admin_url } else { &self.host.url };
            self.host.ask(method, &format!("{url}{path}"), self.key, "application/json", body.as_bytes())
        };
        let (theirs, nobodys) = (ask(self.theirs)?, ask(self.nobodys)?);
        let typed = format!("{path} {body}");
        let told =
            self.theirs.all().into_iter().find(|(slot, name)| !typed.contains(slot) && theirs.body.contains(name));
        Ok(match (told, seen(&theirs, self.theirs) == seen(&nobodys, self.nobodys)) {
            (None, true) => None,
            (Some((slot, _)), _) => Some(format!("{method} {path} tells {slot}: {}", theirs.body)),
            (None, false) => Some(format!("{method} {path} tells them apart:\n  {theirs:?}\n  {nobodys:?}")),
        })
    }
}

#[test]
fn no_tenant_learns_that_another_is_there() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    for tenant in ["own", "rival"] {
        host.tenant(tenant, &json!({}))?;
    }
    acme.push_to(&host, "own", &Draft::identity("acme/own", "1.0.0"))?.ok()?;
    let draft = Draft::identity("acme/hidden", "7.6.5");
    acme.push_to(&host, "rival", &draft)?.ok()?;
    let made = host.admin("POST", "/v1/tenants/rival/keys", &json!({ "role": "deploy" }))?.ok()?.json();
    let (rival, id) = (made["key"].as_str().context("no key")?, made["id"].as_str().context("no id")?);
    host.admin_as(rival, "PUT", "/v1/models/hidden/labels/stable", &json!({ "version": "7.6.5" }))?.ok()?;
    host.version(rival, "hidden")?;
    let names = |tenant: &str, model: &str, version: &str, digest: &str, key: &str| Names {
        tenant: tenant.into(),
        model: model.into(),
        version: version.into(),
        digest: digest.into(),
        key: key.into(),
    };
    let theirs = names("rival", "hidden", "7.6.5", &draft.digest(), id);
    let nobodys = names("nobdy", "absent", "5.6.7", &Draft::identity("acme/absent", "5.6.7").digest(), "0123456789ab");
    let before = host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?.body;
    let mut wrong = Vec::new();
    for key in [host.key("own", "infer")?, host.key("own", "deploy")?, String::new()] {
        let case = Case { host: &host, key: &key, theirs: &theirs, nobodys: &nobodys };
        for request in CLIENT {
            wrong.extend(case.check(false, request)?);
        }
        for request in OPERATOR {
            wrong.extend(case.check(true, request)?);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The requests have not changed the other tenant's resources.
    assert_eq!(host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?.body, before);
    assert_eq!(host.version(rival, "hidden/versions/stable")?, "7.6.5");
    Ok(())
}

/// Two tenants may have bundles of the same name and version with different contents.
#[test]
fn two_tenants_may_use_the_same_names() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let mut keys = Vec::new();
    for (tenant, contents) in [("one", "# one"), ("two", "# two")] {
        host.tenant(tenant, &json!({}))?;
        acme.push_to(&host, tenant, &Draft::identity("acme/echo", "1.0.0").more(contents))?.ok()?;
        keys.push(host.key(tenant, "deploy")?);
    }
    let mine = Draft::identity("acme/echo", "1.0.0").more("# one");
    host.admin_as(&keys[0], "DELETE", &format!("/v1/bundles/{}", mine.digest()), &Value::Null)?.ok()?;
    host.call(&keys[0], "echo", "input")?.refused(404, "unknown_model", &[])?;
    assert_eq!(host.version(&keys[1], "echo")?, "1.0.0");
    // A shared model is visible to the other tenant until sharing is withdrawn.
    let share = |with: Value| host.admin("PUT", "/v1/models/echo/sharing?tenant=two", &with);
    share(json!({ "tenants": ["one"] }))?.ok()?;
    assert_eq!(host.version(&keys[0], "echo")?, "1.0.0");
    host.admin_as(&keys[0], "GET", "/v1/models/echo?tenant=two", &Value::Null)?.refused(404, "not_found", &[])?;
    share(json!("nobody"))?.ok()?;
    host.call(&keys[0], "echo", "input")?.refused(404, "unknown_model", &[]).map(drop)
}

/// A host whose tenant `owner` has the model `echo` and lets `shop` call it.
fn with_shared() -> Result<(Host, Publisher)> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    for tenant in ["owner", "shop"] {
        host.tenant(tenant, &json!({}))?;
    }
    for version in ["1.0.0", "1.1.0"] {
        acme.push_to(&host, "owner", &Draft::identity("acme/echo", version))?.ok()?;
    }
    share(&host, "shop")?.ok()?;
    Ok((host, acme))
}

fn share(host: &Host, with: &str) -> Result<Reply> {
    host.admin("PUT", "/v1/models/echo/sharing?tenant=owner", &json!({ "tenants": [with] }))
}

fn settings(host: &Host) -> Result<Value> {
    Ok(host.admin("GET", "/v1/models/echo?tenant=owner", &Value::Null)?.ok()?.json())
}

/// The tenants in the rows of usage that a key may see.
fn billed(host: &Host, key: &str) -> Result<Vec<String>> {
    let usage = host.admin_as(key, "GET", "/v1/usage", &Value::Null)?.ok()?.json();
    let rows = usage["usage"].as_array().context("no usage")?;
    Ok(rows.iter().filter_map(|row| Some(row["tenant"].as_str()?.to_owned())).collect())
}

#[test]
fn a_tenant_of_a_deleted_tenants_name_inherits_nothing() -> Result<()> {
    let (mut host, _) = with_shared()?;
    share(&host, "nobody-yet")?.refused(404, "not_found", &["nobody-yet"])?;
    let old = host.key("shop", "infer")?;
    assert_eq!(host.version(&old, "echo")?, "1.1.0");
    host.admin("DELETE", "/v1/tenants/shop", &Value::Null)?.ok()?;
    assert_eq!(settings(&host)?["sharing"], "nobody");
    assert_eq!(billed(&host, &host.token)?, ["shop"]);
    host.tenant("shop", &json!({}))?;
    host.kill()?;

    let host = Start::default().data_of(&host).start()?;
    let (infer, deploy) = (host.key("shop", "infer")?, host.key("shop", "deploy")?);
    let own = host.key("owner", "infer")?;
    wait_until(|| Ok(host.call(&own, "echo", "input")?.status == 200))?;
    host.call(&old, "echo", "input")?.refused(401, "unauthenticated", &[])?;
    host.call(&infer, "echo", "input")?.refused(404, "unknown_model", &[])?;
    assert!(billed(&host, &deploy)?.is_empty());
    let billed = billed(&host, &host.token)?;
    assert!(billed.iter().any(|tenant| tenant.starts_with("shop (before 20")), "{billed:?}");
    share(&host, "shop")?.ok()?;
    assert_eq!(host.version(&infer, "echo")?, "1.1.0");
    Ok(())
}

#[test]
fn the_settings_of_a_model_go_with_its_last_bundle() -> Result<()> {
    let (host, acme) = with_shared()?;
    let key = host.key("shop", "infer")?;
    let set = |what: &str, to: Value| host.admin("PUT", &format!("/v1/models/echo/{what}?tenant=owner"), &to)?.ok();
    set("labels/stable", json!({ "version": "1.0.0" }))?;
    set("labels/new", json!({ "version": "1.1.0" }))?;
    let delete = |version: &str| {
        let digest = Draft::identity("acme/echo", version).digest();
        host.admin("DELETE", &format!("/v1/bundles/{digest}?tenant=owner"), &Value::Null)?.ok()
    };
    delete("1.1.0")?;
    let left = settings(&host)?;
    assert_eq!(
        (&left["sharing"], &left["routing"]["labels"]),
        (&json!({ "tenants": ["shop"] }), &json!({ "stable": "1.0.0" }))
    );
    assert_eq!(host.version(&key, "echo")?, "1.0.0");
    delete("1.0.0")?;
    share(&host, "shop")?.refused(404, "not_found", &["echo"])?;
    acme.push_to(&host, "owner", &Draft::identity("acme/echo", "2.0.0"))?.ok()?;
    host.call(&key, "echo", "input")?.refused(404, "unknown_model", &[])?;
    let new = settings(&host)?;
    assert_eq!(
        (&new["sharing"], &new["routing"]["labels"], &new["served"]),
        (&json!("nobody"), &json!({}), &json!([]))
    );
    Ok(())
}
