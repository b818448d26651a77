//! Streams over gRPC, and uploads, that are under way when the rights of their callers end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Program, Publisher, Start, prepared, repository, wait_until};

use crate::tenants::utc;

/// A host whose tenant `t` has a model that answers once, and a model for each of these deeds of the streamer.
fn start(deeds: &[&str]) -> Result<Host> {
    let config = "[http]\nreply-bytes = '1 GiB'\n[call]\ntime = '60s'\nfuel = '1 T'\n";
    let host = Start::default().config(config).start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("t", &json!({}))?;
    acme.push_to(&host, "t", &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    for deed in deeds {
        let config = format!("then = \"{deed}\"");
        acme.push_to(&host, "t", &Draft::stage(&format!("acme/{deed}"), "1.0.0", "hostile_streamer", &config))?.ok()?;
    }
    Ok(host)
}

/// A key of the tenant, and its id.
fn key(host: &Host, new: &Value) -> Result<(String, String)> {
    let made = host.admin("POST", "/v1/tenants/t/keys", new)?.ok()?.json();
    let text = |field: &str| Ok::<_, anyhow::Error>(made[field].as_str().context("no key")?.to_owned());
    Ok((text("key")?, text("id")?))
}

fn infer(host: &Host) -> Result<(String, String)> {
    key(host, &json!({ "role": "infer" }))
}

fn revoke(host: &Host, id: &str) -> Result<()> {
    host.admin("DELETE", &format!("/v1/tenants/t/keys/{id}"), &Value::Null)?.ok().map(drop)
}

/// Opens a stream that wants to end with this status, code and text.
fn open(host: &Host, key: &str, [model, input]: [&str; 2], [status, code, text]: [&str; 3]) -> Result<Program> {
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
    client.arg(repository().join("tests/clients/grpc_rights.py")).env("BULKHEAD_KEY", key);
    client.args(["--url", &host.grpc, "--model", model, "--input", input]);
    client.args(["--status", status, "--code", code, "--text", text]);
    Program::start(&mut client)
}

const ECHO: [&str; 2] = ["echo", "input"];
const REVOKED: [&str; 3] = ["UNAUTHENTICATED", "unauthenticated", "has been revoked"];

fn wait_for_answers(host: &Host, count: u64) -> Result<()> {
    wait_until(|| Ok(host.metric("bulkhead_requests_total{model=\"echo\",outcome=\"ok\",tenant=\"t\"}")? == count))
}

#[test]
fn idle_grpc_streams_end_with_the_rights_of_their_caller() -> Result<()> {
    let host = start(&[])?;
    let tenant = |act: &str| host.admin("POST", &format!("/v1/tenants/t/{act}"), &Value::Null)?.ok();
    let (revoked, id) = infer(&host)?;
    let (other, _) = infer(&host)?;
    let disabled = ["PERMISSION_DENIED", "tenant_disabled", "the tenant \"t\" is disabled"];
    let (client, kept) = (open(&host, &revoked, ECHO, REVOKED)?, open(&host, &other, ECHO, disabled)?);
    wait_for_answers(&host, 2)?;
    revoke(&host, &id)?;
    client.succeed().with_context(|| host.log())?;
    tenant("disable")?;
    kept.succeed().with_context(|| host.log())?;
    tenant("enable")?;

    let soon = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + Duration::from_secs(5);
    let (expiring, _) = key(&host, &json!({ "role": "infer", "expires": utc(soon.as_secs()) }))?;
    let client = open(&host, &expiring, ECHO, ["UNAUTHENTICATED", "unauthenticated", "has expired"])?;
    wait_for_answers(&host, 3)?;
    client.succeed().with_context(|| host.log())?;

    let client = open(&host, &other, ECHO, REVOKED)?;
    wait_for_answers(&host, 4)?;
    host.admin("DELETE", "/v1/tenants/t", &Value::Null)?.ok()?;
    host.tenant("t", &json!({}))?;
    client.succeed().with_context(|| host.log()).map(drop)
}

/// The plugin computes or emits without end when the key is revoked.
#[test]
fn streams_of_answers_end_with_the_rights_of_their_caller() -> Result<()> {
    let host = start(&["spin", "go-on"])?;
    let in_flight = |count| wait_until(|| Ok(host.metric("bulkhead_calls_in_flight")? == count));
    for model in ["spin", "go-on"] {
        let (key, id) = infer(&host)?;
        let client = open(&host, &key, [model, "x"], REVOKED)?;
        in_flight(1)?;
        revoke(&host, &id)?;
        client.succeed().with_context(|| host.log())?;
        in_flight(0)?;
    }
    Ok(())
}

#[test]
fn an_upload_is_refused_if_its_key_is_revoked_while_it_arrives() -> Result<()> {
    let host = start(&[])?;
    let (key, id) = key(&host, &json!({ "role": "deploy" }))?;
    let reply = upload_around(&host, &key, "/v1/bundles", || revoke(&host, &id))?;
    assert!(reply.starts_with("HTTP/1.1 401 ") && reply.contains("\"unauthenticated\""), "{reply}");
    Ok(())
}

#[test]
fn an_upload_is_refused_if_its_tenant_is_made_anew_while_it_arrives() -> Result<()> {
    let host = start(&[])?;
    host.tenant("shop", &json!({}))?;
    let made = SystemTime::now();
    let reply = upload_around(&host, &host.token, "/v1/bundles?tenant=shop", || {
        host.admin("DELETE", "/v1/tenants/shop", &Value::Null)?.ok()?;
        // The host tells tenants of one name apart by the second in which they were made.
        wait_until(|| Ok(made.elapsed()? > Duration::from_secs(1)))?;
        host.tenant("shop", &json!({}))
    })?;
    assert!(reply.starts_with("HTTP/1.1 404 ") && reply.contains("\"not_found\"") && reply.contains("shop"), "{reply}");
    assert_eq!(host.admin_get("/v1/bundles?tenant=shop")?.ok()?.json(), json!([]));
    Ok(())
}

/// The reply to an upload that has begun to arrive before an act, and arrives after it.
fn upload_around(host: &Host, key: &str, path: &str, act: impl FnOnce() -> Result<()>) -> Result<String> {
    let archive = Publisher::trusted("late", host)?.sign(&Draft::identity("late/late", "1.0.0"));
    let address = host.admin_url.strip_prefix("http://").context("no address")?;
    let mut stream = TcpStream::connect(address)?;
    let head = format!("host: test\r\nauthorization: Bearer {key}\r\nconnection: close\r\n");
    write!(stream, "POST {path} HTTP/1.1\r\n{head}content-length: {}\r\n\r\n", archive.len())?;
    stream.write_all(&archive[..1])?;
    wait_until(|| Ok(host.files_of("staging")?.len() == 1))?;
    act()?;
    stream.write_all(&archive[1..])?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}
