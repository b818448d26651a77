//! The state after a restart equals the state before it: every act of the operator's port is done, and everything that
//! operators and clients can read is compared, also the answers of the models.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Reply, Start, wait_until};

/// A host, those who act on it, and the acts that were done.
struct World {
    host: Host,
    publishers: BTreeMap<&'static str, Publisher>,
    /// Keys of tenants, by the name of the tenant and a role.
    keys: BTreeMap<&'static str, String>,
    done: BTreeSet<&'static str>,
}

/// The request of an act. The rows of [`ACTS`] are in the order in which they are done.
enum With {
    /// A JSON body; `null` is no body.
    Body(&'static str),
    /// The public key of a publisher, and further fields.
    Key(&'static str, &'static str),
    /// The hint of a publisher's key, in the address.
    Hint(&'static str),
    /// A bundle of one identity stage, signed by a publisher, with a text of its manifest replaced by another one.
    Bundle(&'static str, &'static str, &'static str, [&'static str; 2]),
    /// The digest of a bundle, in the address, and a body.
    Digest(&'static str, &'static str, &'static str),
    /// A new key of a tenant, under this name.
    NewKey(&'static str, &'static str),
    /// The number of a key, in the address.
    KeyId(&'static str),
}

use With::{Body, Bundle, Digest, Hint, Key, KeyId, NewKey};

const AS_IS: [&str; 2] = ["", ""];
const LOGS: [&str; 2] = ["config =", "imports = [\"logging\"]\nconfig ="];
const LENDS: [&str; 2] = ["[pipeline]\nstages = [\"stage\"]\n", ""];
const TRIED: [&str; 2] = [
    "[pipeline]",
    "[[trial]]\nname = \"one\"\ninputs.input = { datatype = \"FP32\", shape = [1], data = [1.0] }\n[pipeline]",
];
const BORROWS: [&str; 2] = ["[\"stage\"]", "[\"acme/library:stage@^1\"]"];

/// The acts: the operation's name in the OpenAPI document, its address, and what it is done with.
#[rustfmt::skip]
const ACTS: &[(&str, &str, With)] = &[
    ("create_tenant", "/v1/tenants", Body(r#"{ "name": "shop", "limits": { "concurrency": 4 } }"#)),
    ("create_tenant", "/v1/tenants", Body(r#"{ "name": "lab" }"#)),
    ("create_tenant", "/v1/tenants", Body(r#"{ "name": "gone" }"#)),
    ("create_tenant", "/v1/tenants", Body(r#"{ "name": "again" }"#)),
    ("set_limits", "/v1/tenants/shop/limits", Body(r#"{ "call-fuel": "2 M", "log-per-second": 7 }"#)),
    ("set_limits", "/v1/tenants/shop/limits", Body(r#"{ "log-per-second": null }"#)),
    ("create_key", "/v1/tenants/shop/keys", NewKey("shop", r#"{ "role": "infer", "note": "till", "expires": "2999-01-01" }"#)),
    ("create_key", "/v1/tenants/shop/keys", NewKey("shop deploy", r#"{ "role": "deploy" }"#)),
    ("create_key", "/v1/tenants/shop/keys", NewKey("shop lost", r#"{ "role": "infer" }"#)),
    ("create_key", "/v1/tenants/lab/keys", NewKey("lab", r#"{ "role": "infer" }"#)),
    ("create_key", "/v1/tenants/gone/keys", NewKey("gone", r#"{ "role": "infer" }"#)),
    ("create_key", "/v1/tenants/again/keys", NewKey("again", r#"{ "role": "infer" }"#)),
    ("revoke_api_key", "/v1/tenants/shop/keys/{id}", KeyId("shop lost")),
    ("disable_tenant", "/v1/tenants/lab/disable", Body("null")),
    ("disable_tenant", "/v1/tenants/again/disable", Body("null")),
    ("enable_tenant", "/v1/tenants/again/enable", Body("null")),

    ("trust", "/v1/publishers/acme", Key("acme", r#"{ "imports": ["assets"], "not_after": "2999-01-01" }"#)),
    ("trust", "/v1/publishers/acme", Body(r#"{ "add_names": ["extra/thing"], "add_imports": ["logging"] }"#)),
    // Two publishers with one key, of which only the later has the rights.
    ("trust", "/v1/publishers/aaa", Key("acme", r#"{ "names": ["acme/*"] }"#)),
    ("trust", "/v1/publishers/lost", Key("lost", "{}")),
    ("trust", "/v1/publishers/left", Key("left", "{}")),
    ("trust", "/v1/publishers/narrow", Key("narrow", r#"{ "imports": ["logging"] }"#)),

    ("upload", "", Bundle("acme", "acme/echo", "1.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/echo", "1.1.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/echo", "2.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/echo", "3.0.0-rc.1", AS_IS)),
    ("label", "/v1/models/echo/labels/stable", Body(r#"{ "version": "1.1.0" }"#)),
    ("label", "/v1/models/echo/labels/old", Body(r#"{ "version": "1.0.0" }"#)),
    ("label", "/v1/models/echo/labels/wrong", Body(r#"{ "version": "2.0.0" }"#)),
    ("unlabel", "/v1/models/echo/labels/wrong", Body("null")),
    ("share", "/v1/models/echo/sharing", Body(r#"{ "tenants": ["gone", "shop"] }"#)),
    ("upload", "?tenant=shop", Bundle("acme", "acme/till", "1.0.0", LOGS)),
    ("share", "/v1/models/till/sharing?tenant=shop", Body(r#""everybody""#)),
    ("upload", "?tenant=gone", Bundle("acme", "acme/till", "1.0.0", AS_IS)),
    ("delete_tenant", "/v1/tenants/gone", Body("null")),

    ("upload", "", Bundle("acme", "acme/split", "1.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/split", "2.0.0", AS_IS)),
    ("label", "/v1/models/split/labels/stable", Body(r#"{ "version": "1.0.0" }"#)),
    ("split", "/v1/models/split/split", Body(r#"{ "weights": { "1.0.0": 1, "2.0.0": 1 }, "sticky": "tenant" }"#)),
    ("upload", "", Bundle("acme", "acme/whole", "1.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/whole", "2.0.0", AS_IS)),
    ("split", "/v1/models/whole/split", Body(r#"{ "weights": { "1.0.0": 9, "2.0.0": 1 }, "sticky": { "header": "x" } }"#)),
    ("unsplit", "/v1/models/whole/split", Body("null")),
    ("shadow", "/v1/models/split/shadow", Body(r#"{ "version": "1.0.0", "percent": 10 }"#)),
    ("shadow", "/v1/models/whole/shadow", Body(r#"{ "version": "1.0.0", "percent": 10 }"#)),
    ("unshadow", "/v1/models/whole/shadow", Body("null")),

    ("upload", "", Bundle("acme", "acme/kept", "1.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/kept", "2.0.0", AS_IS)),
    ("policy", "/v1/models/kept/policy", Body(r#"{ "latest": 1 }"#)),
    ("upload", "", Bundle("acme", "acme/chosen", "1.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/chosen", "2.0.0", AS_IS)),
    ("policy", "/v1/models/chosen/policy", Body(r#"{ "specific": ["1.0.0"] }"#)),
    ("upload", "", Bundle("acme", "acme/back", "1.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/back", "2.0.0", AS_IS)),
    ("rollback", "/v1/models/back/rollback", Body("null")),
    ("upload", "", Bundle("acme", "acme/back", "3.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/rest", "1.0.0", AS_IS)),
    ("retire", "/v1/models/rest/versions/1.0.0/retire", Body("null")),
    ("upload", "", Bundle("acme", "acme/awake", "1.0.0", AS_IS)),
    ("retire", "/v1/models/awake/versions/1.0.0/retire", Body("null")),
    ("activate", "/v1/models/awake/versions/1.0.0/activate", Body("null")),

    ("upload", "", Bundle("acme", "acme/deleted", "1.0.0", AS_IS)),
    ("delete_bundle", "/v1/bundles/{digest}", Digest("acme/deleted", "1.0.0", "null")),
    ("upload", "", Bundle("acme", "acme/revoked", "1.0.0", AS_IS)),
    ("revoke_bundle", "/v1/bundles/{digest}/revoke", Digest("acme/revoked", "1.0.0", "{}")),
    ("revoke_bundle", "/v1/bundles/{digest}/revoke", Digest("acme/revoked", "1.0.0", r#"{ "reason": "it steals" }"#)),
    ("upload", "", Bundle("acme", "acme/half", "1.0.0", AS_IS)),
    ("upload", "", Bundle("acme", "acme/half", "2.0.0", AS_IS)),
    ("label", "/v1/models/half/labels/stable", Body(r#"{ "version": "2.0.0" }"#)),
    ("revoke_bundle", "/v1/bundles/{digest}/revoke", Digest("acme/half", "2.0.0", r#"{ "reason": "it leaks" }"#)),
    ("upload", "", Bundle("acme", "acme/library", "1.0.0", LENDS)),
    ("upload", "", Bundle("acme", "acme/user", "1.0.0", BORROWS)),
    ("upload", "", Bundle("acme", "acme/library", "1.1.0", LENDS)),
    ("upload", "", Bundle("acme", "acme/user", "1.1.0", BORROWS)),
    ("revoke_bundle", "/v1/bundles/{digest}/revoke", Digest("acme/library", "1.1.0", r#"{ "reason": "hole" }"#)),
    ("upload", "", Bundle("lost", "lost/found", "1.0.0", AS_IS)),
    ("revoke_key", "/v1/publishers/lost/keys/{hint}/revoke", Hint("lost")),
    ("upload", "", Bundle("left", "left/behind", "1.0.0", ["[bundle]", "[bundle] # left\n"])),
    ("distrust", "/v1/publishers/left", Body("null")),
    ("upload", "", Bundle("narrow", "narrow/logs", "1.0.0", LOGS)),
    ("trust", "/v1/publishers/narrow", Body(r#"{ "imports": [], "stop": true }"#)),
    ("create_tenant", "/v1/tenants", Body(r#"{ "name": "tight" }"#)),
    ("create_key", "/v1/tenants/tight/keys", NewKey("tight", r#"{ "role": "infer" }"#)),
    ("upload", "?tenant=tight", Bundle("acme", "acme/till", "1.0.0", TRIED)),
    ("set_limits", "/v1/tenants/tight/limits", Body(r#"{ "call-fuel": 1000, "call-memory": "64 KiB" }"#)),

    ("change_log", "/v2/logging", Body(r#"{ "log_info": true }"#)),
    ("change_trace", "/v2/trace/setting", Body("{}")),
];

/// Operations that only read: how their addresses are filled, `None` for those that are not of the state.
#[rustfmt::skip]
const READS: &[(&str, Option<&[&str]>)] = &[
    ("publishers", Some(&["/v1/publishers"])),
    ("bundles", Some(&["/v1/bundles", "/v1/bundles?tenant=shop"])),
    ("tenants", Some(&["/v1/tenants"])),
    ("tenant", Some(&["/v1/tenants/default", "/v1/tenants/shop", "/v1/tenants/lab", "/v1/tenants/gone"])),
    ("keys", Some(&["/v1/tenants/shop/keys", "/v1/tenants/lab/keys", "/v1/tenants/again/keys"])),
    ("models", Some(&["/v1/models", "/v1/models?tenant=shop"])),
    ("model", Some(&["/v1/models/echo", "/v1/models/till?tenant=shop", "/v1/models/rest", "/v1/models/revoked"])),
    ("audit", Some(&["/v1/audit?limit=1000"])),
    ("verify_audit", Some(&["/v1/audit/verify"])),
    ("usage", Some(&["/v1/usage"])),
    ("trace_settings", Some(&["/v2/trace/setting"])),
    ("live", Some(&["/v2/health/live"])),
    ("document", Some(&["/openapi.json"])),
    ("docs", Some(&["/docs"])),
    // These are of the process: they begin anew with it.
    ("metrics", None),
    ("log_settings", None),
];

impl World {
    fn new() -> Result<World> {
        let publishers = ["acme", "lost", "left", "narrow"].map(|name| (name, Publisher::new(name)));
        let host = Start::default().start()?;
        Ok(World { host, publishers: publishers.into(), keys: BTreeMap::new(), done: BTreeSet::new() })
    }

    fn act(
        &mut self,
        operations: &BTreeMap<String, String>,
        (id, address, with): &'static (&str, &str, With),
    ) -> Result<()> {
        let method = operations.get(*id).with_context(|| format!("there is no operation {id}"))?;
        let send = |address: &str, body: &str| {
            self.host
                .admin(method, address, &serde_json::from_str::<Value>(body)?)?
                .ok()
                .with_context(|| format!("{id} {address}"))
        };
        match with {
            Body(body) => send(address, body).map(drop)?,
            Key(publisher, more) => {
                let mut body: Value = serde_json::from_str(more)?;
                body["key"] = self.publisher(publisher)?.pem().into();
                send(address, &body.to_string())?;
            }
            Hint(publisher) => {
                send(&address.replace("{hint}", &self.publisher(publisher)?.hint()), "null").map(drop)?
            }
            Bundle(publisher, name, version, [from, to]) => {
                let archive = self.publisher(publisher)?.sign(&Draft::identity(name, version).replace(from, to));
                let tenant = address.strip_prefix("?tenant=").unwrap_or_default();
                self.host
                    .upload(&self.host.token, tenant, &archive)?
                    .ok()
                    .with_context(|| format!("{name} {version}"))?;
            }
            Digest(name, version, body) => {
                let bundles = self.host.admin_get("/v1/bundles")?.ok()?.json();
                let mut bundles = bundles.as_array().into_iter().flatten();
                let bundle = bundles.find(|bundle| bundle["name"] == *name && bundle["version"] == *version);
                let digest = bundle.and_then(|bundle| bundle["digest"].as_str()).context(*name)?;
                send(&address.replace("{digest}", digest), body)?;
            }
            NewKey(name, body) => {
                let made = send(address, body)?.json();
                self.keys.insert(name, made["key"].as_str().context("no key")?.to_owned());
            }
            KeyId(name) => {
                let key = self.keys.get(name).context(*name)?;
                let id = key.split('_').nth(1).context("a key has its number in it")?;
                send(&address.replace("{id}", id), "null")?;
            }
        }
        self.done.insert(id);
        Ok(())
    }

    fn publisher(&self, name: &str) -> Result<&Publisher> {
        self.publishers.get(name).with_context(|| name.to_owned())
    }

    /// Everything that can be read, by the caller and the request.
    fn seen(&self, models: &[String]) -> Result<BTreeMap<String, Value>> {
        let mut seen = BTreeMap::new();
        // Usage is read first: the calls below add to it.
        for address in READS.iter().filter_map(|(_, addresses)| *addresses).flatten() {
            seen.insert(format!("operator {address}"), plain(&self.host.admin_get(address)?));
        }
        let no_key = String::new();
        let callers = self.keys.iter().map(|(name, key)| (*name, key)).chain([("nobody", &no_key)]);
        for (name, key) in callers {
            let mut ask = |method: &str, address: &str, body: &Value| -> Result<()> {
                let reply = self.host.ask_as(key, method, address, body)?;
                seen.insert(format!("{name} {method} {address}"), plain(&reply));
                Ok(())
            };
            ask("GET", "/v2/health/ready", &Value::Null)?;
            ask("GET", "/v1/models", &Value::Null)?;
            ask("POST", "/v2/repository/index", &json!({}))?;
            ask("POST", "/v2/repository/index", &json!({ "ready": true }))?;
            for model in models {
                for of in ["", "/versions/1", "/versions/1.0.0", "/versions/2.0.0", "/versions/stable", "/versions/old"]
                {
                    let place = format!("/v2/models/{model}{of}");
                    ask("GET", &place, &Value::Null)?;
                    ask("GET", &format!("{place}/ready"), &Value::Null)?;
                    ask("GET", &format!("{place}/config"), &Value::Null)?;
                    let tensor = json!({ "name": "input", "datatype": "FP32", "shape": [2], "data": [1.0, 2.5] });
                    ask("POST", &format!("{place}/infer"), &json!({ "inputs": [tensor] }))?;
                }
                ask("GET", &format!("/v1/models/{model}"), &Value::Null)?;
                ask("GET", &format!("/v1/models/{model}/metadata"), &Value::Null)?;
            }
        }
        Ok(seen)
    }

    /// Starts the host again on its data, and waits until all is loaded.
    fn start_again(&mut self) -> Result<()> {
        self.host = Start::default().data_of(&self.host).start()?;
        self.settle()
    }

    /// Waits until no version is being loaded.
    fn settle(&self) -> Result<()> {
        wait_until(|| {
            let loading = self.host.admin_get("/v1/models")?.ok()?.body.contains("\"loading\"");
            Ok(!loading && self.host.get("/v2/health/ready")?.status == 200)
        })
    }
}

/// A reply without what each reply has of its own.
fn plain(reply: &Reply) -> Value {
    let mut body = serde_json::from_str(&reply.body).unwrap_or_else(|_| Value::from(reply.body.clone()));
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
        fields.remove("id");
    }
    json!({ "status": reply.status, "body": body })
}

/// The operations of the operator's port, by their names: the method of each.
fn operations(host: &Host) -> Result<BTreeMap<String, String>> {
    let document = host.admin_get("/openapi.json")?.ok()?.json();
    let paths = document["paths"].as_object().context("paths")?.values();
    let all = paths.flat_map(|item| item.as_object().into_iter().flatten());
    let named = |(method, operation): (&String, &Value)| {
        let id = operation["operationId"].as_str().context("an operation without a name")?;
        Ok((id.to_owned(), method.to_uppercase()))
    };
    all.map(named).collect()
}

fn compare(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>, restart: &str) -> Result<()> {
    let differs = |(request, was): (&String, &Value)| {
        let is = after.get(request).unwrap_or(&Value::Null);
        (was != is).then(|| format!("{request}\n  before: {was}\n  after:  {is}"))
    };
    let wrong: Vec<String> = before.iter().filter_map(differs).collect();
    ensure!(
        wrong.is_empty(),
        "after {restart}, {} of {} replies differ:\n{}",
        wrong.len(),
        before.len(),
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn the_state_after_a_restart_equals_the_state_before() -> Result<()> {
    let mut world = World::new()?;
    let operations = operations(&world.host)?;
    for act in ACTS {
        world.act(&operations, act)?;
    }
    let known: BTreeSet<&str> = world.done.iter().copied().chain(READS.iter().map(|(id, _)| *id)).collect();
    let all: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
    assert_eq!(known, all, "each operation of the operator's port has a row in ACTS or READS");
    world.settle()?;

    let models = world.host.admin_get("/v1/models")?.ok()?.json();
    let models: BTreeSet<&str> =
        models.as_array().into_iter().flatten().filter_map(|model| model["model"].as_str()).collect();
    let models: Vec<String> = models.into_iter().map(str::to_owned).collect();
    assert_eq!(world.host.version("", "echo")?, "1.1.0");
    // The first look makes calls, whose usage the second one finds.
    let mut before = world.seen(&models)?;
    let usage = |seen: &mut BTreeMap<String, Value>| seen.remove("operator /v1/usage").context("no usage");
    usage(&mut before)?;
    let used = plain(&world.host.admin_get("/v1/usage")?);
    world.host.terminate()?;
    world.host.wait()?;
    world.start_again()?;
    let mut after = world.seen(&models)?;
    assert_eq!(usage(&mut after)?, used, "the usage after an orderly end");
    compare(&before, &after, "an orderly end")?;
    world.host.kill()?;
    world.start_again()?;
    let mut after = world.seen(&models)?;
    usage(&mut after)?;
    compare(&before, &after, "a kill")
}
