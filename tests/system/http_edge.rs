//! The edge of HTTP: media types, heads that cannot be read, and what is answered before a body is sent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Host, Shared, Start, component, identity, wait_until};

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    Start::default().bundle(&identity("texts", "BYTES", &[-1]), &files).start()
});

/// The only element of the reply of the model of texts.
fn text(host: &Host, content_type: &str, body: &str) -> Result<String> {
    let reply = host.post("/v2/models/texts/infer", content_type, body.as_bytes())?.ok()?;
    Ok(reply.output("output")[0].as_str().context("no text")?.to_owned())
}

#[test]
fn the_type_of_a_body_says_what_it_is() -> Result<()> {
    let host = HOST.get();
    let request =
        |input: &str| json!({ "inputs": [{ "name": input, "datatype": "BYTES", "shape": [1], "data": ["hi"] }] });
    let (ours, foreign) = (request("input").to_string(), request("other").to_string());
    let form = |head: &str, content: &str| format!("--b\r\n{head}\r\n{content}\r\n--b--\r\n");
    let disposition = "Content-Disposition: form-data; name=\"text_input\"\r\n";
    let typed = format!("{disposition}Content-Type: application/vnd.api+json\r\n");
    for (content_type, body, wanted) in [
        ("application/vnd.api+json", &*ours, "hi"),
        ("text/json", &ours, "hi"),
        ("application/cloudevents+json", &ours, "hi"),
        ("text/plain", &foreign, &foreign),
        ("text/plain", "hello", "hello"),
        ("application/octet-stream", &ours, "hi"),
        ("application/octet-stream", &foreign, &foreign),
        ("image/png", &ours, &ours),
        ("multipart/form-data; boundary=b", &form(disposition, "hello"), "hello"),
        ("multipart/form-data; boundary=\"b\"", &form(&typed, &ours), "hi"),
    ] {
        assert_eq!(text(&host, content_type, body)?, wanted, "{content_type}: {body}");
    }
    Ok(())
}

/// A text that is a request may be the input, or a request without its type: neither is guessed.
#[test]
fn a_text_that_is_a_request_is_refused() -> Result<()> {
    let host = HOST.get();
    let request =
        json!({ "inputs": [{ "name": "input", "datatype": "BYTES", "shape": [1], "data": ["hi"] }] }).to_string();
    for content_type in ["text/plain", "text/plain;charset=UTF-8"] {
        let reply = host.post("/v2/models/texts/infer", content_type, request.as_bytes())?;
        reply.refused(415, "unsupported_media_type", &["application/json", "Inference-Header-Content-Length: 0"])?;
    }
    let headers = [("content-type", "text/plain"), ("inference-header-content-length", "0")];
    let reply = host.send("/v2/models/texts/infer", &headers, request.as_bytes())?.ok()?;
    assert!(reply.body.contains("\\\"hi\\\"") || reply.body.contains("\"hi\""), "{reply:?}");
    Ok(())
}

#[test]
fn the_front_page_says_what_is_where() -> Result<()> {
    let host = HOST.get();
    let told = host.get("/")?.ok()?;
    assert_eq!(told.header("content-type"), Some("application/json"));
    for place in ["docs", "openapi"] {
        host.get(told.json()[place].as_str().context("a link")?)?.ok()?;
    }
    let page =
        answer(&host, "GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html,*/*;q=0.8\r\nconnection: close\r\n\r\n")?;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("content-type: text/html"), "{page}");
    for part in ["href=\"/docs\"", "/v2/models/MODEL/infer", "/v1/models/MODEL:predict", "gRPC"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = ureq::get(&host.admin_url).header("accept", "text/html").call()?.body_mut().read_to_string()?;
    assert!(page.contains("operator's port") && page.contains("href=\"/docs\""), "{page}");
    assert_eq!(host.admin_get("/")?.ok()?.json()["docs"], "/docs");
    host.get("/metrics")?.refused(404, "unknown_endpoint", &["operator's port", "listen.admin"])?;
    host.get("/v1/tenants/x")?.refused(404, "unknown_endpoint", &["operator's port"])?;
    let clients = ["clients' port", "listen.http"];
    host.admin_get("/v2/models/texts/infer")?.refused(404, "unknown_endpoint", &clients)?;
    host.admin_get("/v2/health/ready")?.refused(404, "unknown_endpoint", &clients)?;
    host.get("/metricsx")?.refused(404, "unknown_endpoint", &["no such endpoint"])?;
    Ok(())
}

const PAGE: &str = "https://app.example.com";

#[test]
fn a_listed_page_may_call_and_no_other() -> Result<()> {
    let files = [component("identity")];
    let start = Start::default().bundle(&identity("texts", "BYTES", &[-1]), &files);
    let host = start.config(&format!("[http]\ncors-origins = ['{PAGE}']\n")).start()?;
    let request =
        json!({ "inputs": [{ "name": "input", "datatype": "BYTES", "shape": [1], "data": ["hi"] }] }).to_string();
    let headers = |origin: &'static str| [("origin", origin), ("content-type", "application/json")];
    let path = "/v2/models/texts/infer";
    let reply = host.send(path, &headers(PAGE), request.as_bytes())?.ok()?;
    assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE));
    assert!(reply.header("access-control-expose-headers").is_some_and(|shown| shown.contains("x-request-id")));
    let refused = host.send("/v2/models/none/infer", &headers(PAGE), b"{}")?.refused(404, "unknown_model", &[])?;
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE), "a page can read a refusal");
    let other = host.send(path, &headers("https://evil.example.com"), request.as_bytes())?;
    assert_eq!(other.header("access-control-allow-origin"), None);
    other.refused(403, "foreign_origin", &[])?;
    let preflight_with = |address: &str, host: &str, origin: &str| -> Result<String> {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "OPTIONS {path} HTTP/1.1\r\n{host}origin: {origin}\r\nconnection: close\r\n")?;
        write!(stream, "access-control-request-method: POST\r\n")?;
        write!(stream, "access-control-request-headers: authorization,content-type\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    };
    let preflight = |address: &str, origin: &str| preflight_with(address, "host: x\r\n", origin);
    let asked = preflight(host.address(), PAGE)?;
    assert!(asked.starts_with("HTTP/1.1 200"), "{asked}");
    for field in [
        "x-request-id: ",
        "access-control-allow-origin: https://app.example.com",
        "access-control-allow-headers: authorization,content-type",
        "access-control-max-age: 3600",
    ] {
        assert!(asked.contains(field), "{field}: {asked}");
    }
    assert!(
        asked.lines().any(|line| line.starts_with("access-control-allow-methods:") && line.contains("POST")),
        "{asked}"
    );
    assert!(!preflight(host.address(), "https://evil.example.com")?.contains("access-control-allow-origin"));
    for hosts in ["", "host: x\r\nhost: y\r\n"] {
        let refused = preflight_with(host.address(), hosts, PAGE)?;
        assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("field"), "{hosts}: {refused}");
    }
    let off = preflight(HOST.get().address(), PAGE)?;
    assert!(off.starts_with("HTTP/1.1 405") && !off.contains("access-control"), "off by default: {off}");
    Ok(())
}

/// Sends the head of a request, and reads until the other side closes or says nothing for a second.
fn answer(host: &Host, head: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(head.as_bytes())?;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// Each refusal says what the caller sent, and the host's log names the model that was asked for.
#[test]
fn refusals_say_who_asked_for_what() -> Result<()> {
    let host = HOST.get();
    let basic = [("authorization", "Basic dXNlcjpwYXNz"), ("content-type", "application/json")];
    host.send("/v2/models/texts/infer", &basic, b"{}")?.refused(
        401,
        "unauthenticated",
        &["another scheme than Bearer"],
    )?;
    let bare = [("authorization", "bh_1234")];
    host.send("/v2/models/texts/infer", &bare, b"{}")?.refused(401, "unauthenticated", &["authorization: Bearer"])?;
    let anonymous = host.post("/v2/repository/models/texts/load", "", b"")?;
    anonymous.refused(403, "insufficient_role", &["a key with the role deploy", "the request has no key"])?;
    host.ask_as(&host.key("default", "infer")?, "POST", "/v2/repository/models/texts/load", &Value::Null)?.refused(
        403,
        "insufficient_role",
        &["yours has the role infer"],
    )?;
    for begin in ["/v2/models/", "/v1/models/"] {
        let hint = format!("GET {begin}texts lists the versions");
        host.get(&format!("{begin}texts/versions"))?.refused(404, "unknown_endpoint", &[&hint])?;
    }
    host.get("/v2/models")?.refused(404, "unknown_endpoint", &["POST /v2/repository/index lists the models"])?;
    host.get("/v2/models/nobody-has-it")?.refused(404, "unknown_model", &[])?;
    host.get("/v2/models/texts/versions/7")?.refused(404, "unknown_version", &[])?;
    let loaded = "\"address\":\"/v2/repository/models/texts/load\"";
    wait_until(|| Ok(host.log().lines().any(|line| line.contains("insufficient_role") && line.contains(loaded))))?;
    for (code, model) in [("unknown_model", "nobody-has-it"), ("unknown_version", "texts")] {
        let named = |log: String| {
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
            lines.iter().any(|line| {
                line.to_string().contains(code) && line.to_string().contains(&format!("\"model\":\"{model}\""))
            })
        };
        wait_until(|| Ok(named(host.log())))?;
    }
    Ok(())
}

#[test]
fn a_body_that_is_not_wanted_is_not_asked_for() -> Result<()> {
    let host = HOST.get();
    let head = |path: &str, length: u64| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n")
    };
    for (path, length, status) in [
        ("/v2/models/none/infer", 5, "HTTP/1.1 404"),
        ("/nowhere", 5, "HTTP/1.1 404"),
        ("/v2/models/texts/infer", 1 << 40, "HTTP/1.1 413"),
    ] {
        let begun = Instant::now();
        let reply = answer(&host, &head(path, length))?;
        assert!(reply.starts_with(status), "{path}: {reply}");
        assert!(reply.contains("connection: close"), "{path}: {reply}");
        assert!(begun.elapsed() < Duration::from_secs(1), "the connection is closed");
    }
    let reply = answer(&host, &head("/v2/models/texts/infer", 5))?;
    assert!(reply.starts_with("HTTP/1.1 100"), "a body that is wanted is asked for: {reply}");
    Ok(())
}

#[test]
fn a_head_that_cannot_be_read_is_refused_like_everything_else() -> Result<()> {
    let host = HOST.get();
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(40 << 10));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (head, status, code) in [
        (&*large, 431, "head_too_large"),
        (&many, 431, "head_too_large"),
        ("GET / HTTP/1.1\r\nhost x\r\n\r\n", 400, "malformed_request"),
        ("NONSENSE\r\n\r\n", 400, "malformed_request"),
        ("GET / HTTP/1.9\r\n\r\n", 400, "malformed_request"),
    ] {
        let reply = answer(&host, head)?;
        let (head, body) = reply.split_once("\r\n\r\n").with_context(|| reply.clone())?;
        let body: Value = serde_json::from_str(body).with_context(|| reply.clone())?;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
        assert_eq!(body["code"], code, "{reply}");
        let id = body["request_id"].as_str().context("no id")?;
        assert!(head.contains(&format!("x-request-id: {id}")), "{reply}");
        host.wait_for_log(&[id])?;
    }
    Ok(())
}
