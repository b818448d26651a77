//! Bad input: each mistake gets a 4xx with a message that tells the client what to correct. A case is a file under
//! `tests/bad-input`; cases that do not fit into a file are made here.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use system_tests::sockets::Wire;
use system_tests::{Host, Reply, Shared, Start, component, identity, prepared, repository, wait_until};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default = "post")]
    method: String,
    path: String,
    #[serde(default = "application_json")]
    content_type: String,
    #[serde(default)]
    body: String,
    /// Binary tensors after the JSON body, whose length is then sent in a header.
    bytes: Option<Vec<u8>>,
    /// Value of the length header instead of the true length.
    json_length: Option<String>,
    /// Content encoding that the request announces; the body may or may not be compressed so.
    encoding: Option<String>,
    status: u16,
    code: String,
    contains: Vec<String>,
}

impl Case {
    fn send(&self, host: &Host) -> Result<Reply> {
        if self.method == "GET" {
            return host.get(&self.path);
        }
        let length = self.bytes.as_ref().map(|_| self.body.len().to_string());
        let body = [self.body.as_bytes(), self.bytes.as_deref().unwrap_or_default()].concat();
        let mut headers = vec![("content-type", self.content_type.as_str())];
        headers.extend(self.json_length.as_ref().or(length.as_ref()).map(|length| (JSON_LENGTH, length.as_str())));
        headers.extend(self.encoding.as_ref().map(|encoding| ("content-encoding", encoding.as_str())));
        host.send(&self.path, &headers, &body)
    }
}

const JSON_LENGTH: &str = "inference-header-content-length";

fn post() -> String {
    "POST".into()
}

fn application_json() -> String {
    "application/json".into()
}

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    let start = Start::default().bundle(&identity("vector", "FP32", &[-1]), &files);
    let start = start.bundle(&identity("matrix", "FP32", &[-1, 3]), &files);
    let start = start.bundle(&identity("numbers", "INT32", &[-1]), &files);
    let start = start.bundle(&identity("open", "FP32", &[-1, -1]), &files);
    start.bundle(&identity("texts", "BYTES", &[-1]), &files).start()
});

#[test]
fn each_mistake_gets_an_error_that_says_how_to_correct_it() -> Result<()> {
    let host = HOST.get();
    let mut cases = 0;
    for file in fs::read_dir(repository().join("tests/bad-input"))? {
        let path = file?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let case: Case = toml::from_str(&fs::read_to_string(&path)?).with_context(|| name.clone())?;
        let reply = case.send(&host)?;
        let body = reply.json();
        assert_eq!((reply.status, body["code"].as_str()), (case.status, Some(case.code.as_str())), "{name}: {body}");
        for phrase in &case.contains {
            assert!(
                body["error"].as_str().is_some_and(|error| error.contains(phrase)),
                "{name}: no \"{phrase}\": {body}"
            );
        }
        cases += 1;
    }
    assert!(cases >= 20, "only {cases} cases");
    alive(&host)
}

fn alive(host: &Host) -> Result<()> {
    let input = json!({ "name": "input", "datatype": "FP32", "shape": [1], "data": [1] });
    let reply = host.infer("vector", &json!({ "inputs": [input] }))?;
    anyhow::ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

/// Sends a head and a body byte for byte, and reads the whole reply.
fn raw(host: &Host, head: &str, body: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(host.address())?;
    stream.write_all(head.as_bytes())?;
    // The host may answer and close before it has read everything.
    let _ = stream.write_all(body);
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    Ok(reply)
}

const POST: &str = "POST /v2/models/vector/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";

/// Sends a small inference request whose head ends with these header fields.
fn infer_with(host: &Host, fields: &str) -> Result<String> {
    let body = r#"{"inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[1]}]}"#;
    let (path, length) = ("/v2/models/vector/infer", body.len());
    let head = format!("POST {path} HTTP/1.1\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n");
    raw(host, &head, body.as_bytes())
}

/// Fields that a proxy in front of the host might read otherwise than the host, in the smallest forms.
#[test]
fn doubtful_header_fields_are_refused() -> Result<()> {
    let host = HOST.get();
    for (fields, status, says) in [
        ("host: x\r\n", 200, "\"outputs\""),
        ("", 400, "has no field Host"),
        ("host: x\r\nhost: x\r\n", 400, "has 2 fields Host"),
        ("host: x\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\n", 400, "has 2 authorization fields"),
    ] {
        let reply = infer_with(&host, fields)?;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")) && reply.contains(says), "{fields}: {reply}");
    }
    alive(&host)
}

/// A page that a user of this machine looks at can send requests from here, and could even have a name that leads here.
#[test]
fn web_pages_of_other_sites_are_refused_without_a_key() -> Result<()> {
    let host = HOST.get();
    for (fields, status, code) in [
        ("host: localhost:8000\r\norigin: http://localhost:8000\r\n", 200, "\"outputs\""),
        ("host: localhost:8000\r\norigin: https://site.example\r\n", 403, "foreign_origin"),
        ("host: localhost:8000\r\norigin: null\r\n", 403, "foreign_origin"),
        ("host: rebound.site.example:8000\r\n", 403, "foreign_host"),
    ] {
        let reply = infer_with(&host, fields)?;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")) && reply.contains(code), "{fields}: {reply}");
    }
    let named = Start::default().config("[auth]\nhosts = ['models.site.example']\n");
    let named = named.bundle(&identity("vector", "FP32", &[-1]), &[component("identity")]).start()?;
    let reply = infer_with(&named, "host: models.site.example\r\n")?;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    Ok(())
}

#[test]
fn a_body_of_a_gigabyte_is_refused_before_it_is_read() -> Result<()> {
    let host = HOST.get();
    let started = Instant::now();
    let reply = raw(&host, &format!("{POST}content-length: 1073741824\r\n\r\n"), b"{")?;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    assert!(reply.contains("64.0 MiB (request-bytes of the tenant)"), "{reply}");
    alive(&host)
}

/// Without a length the host learns the size only while it reads.
#[test]
fn an_endless_chunked_body_is_refused_at_its_bound() -> Result<()> {
    let host = HOST.get();
    let chunk = [b"100000\r\n", &vec![b' '; 1 << 20][..], b"\r\n"].concat();
    let body: Vec<u8> = chunk.repeat(80);
    let reply = raw(&host, &format!("{POST}transfer-encoding: chunked\r\n\r\n"), &body)?;
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    alive(&host)
}

/// Connections that send nothing, or only the beginning of a request, are closed and free their slots.
#[test]
fn silent_connections_are_closed() -> Result<()> {
    let config = "[http]\nheader-time = '300ms'\nconnections = 3\n";
    let bundle = identity("vector", "FP32", &[-1]);
    let host = Start::default().config(config).bundle(&bundle, &[component("identity")]).start()?;
    let said = [&b""[..], b"PRI * HT", b"POST /v2/models/vector/infer HTTP/1.1\r\nhost: x\r\n"];
    let mut silent = Vec::new();
    for words in said {
        let mut stream = TcpStream::connect(host.address())?;
        stream.write_all(words)?;
        silent.push(stream);
    }
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        // A connection that is closed with unread data is reset. Any other error would be the test's own timeout.
        let closed = stream.read_to_end(&mut Vec::new());
        let reset = closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(closed.is_ok() || reset, "{closed:?}");
    }
    alive(&host)
}

/// Bodies that have arrived and wait are bounded over all connections together.
#[test]
fn bodies_of_all_connections_together_are_bounded() -> Result<()> {
    let config = "[http]\nbuffered-bytes = '1 MiB'\n";
    let bundle = identity("vector", "FP32", &[-1]);
    let host = Start::default().config(config).bundle(&bundle, &[component("identity")]).start()?;
    let mut first = TcpStream::connect(host.address())?;
    write!(first, "{POST}content-length: 1000000\r\n\r\n")?;
    first.write_all(&[b' '; 700_000])?;
    wait_until(|| Ok(buffered(&host.metrics()?) >= 600_000))?;
    let refused = host.post("/v2/models/vector/infer", "application/json", &[b' '; 400_000])?;
    assert_eq!(refused.json()["code"], "overloaded", "{refused:?}");
    drop(first);
    wait_until(|| Ok(buffered(&host.metrics()?) == 0))?;
    alive(&host)
}

fn buffered(metrics: &str) -> u64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix("bulkhead_buffered_bytes "));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// A request that is refused before its body was read leaves a connection that takes the next one, or the reply announces
/// that the connection closes.
#[test]
fn a_refused_body_leaves_a_connection_that_can_be_used_or_is_announced_to_close() -> Result<()> {
    let host = HOST.get();
    let (clients, operator) = (host.address(), host.admin_url.trim_start_matches("http://"));
    for (address, path, fields, status) in [
        (clients, "/v2/repository/models/vector/load", "", 403),
        (clients, "/v2/logging", "", 403),
        (clients, "/v2/models/vector/infer", "authorization: Bearer bh_none\r\n", 401),
        (clients, "/v2/models/vector/infer", "origin: https://site.example\r\n", 403),
        (clients, "/v2/models/nobody/infer", "", 404),
        (clients, "/v1/models/nobody:predict", "", 404),
        (clients, "/nowhere", "", 404),
        (clients, "/v2/health/live", "", 405),
        (operator, "/v1/tenants", "", 401),
        (operator, "/nowhere", "", 404),
    ] {
        // A body that comes with the head is read.
        let mut wire = Wire::connect(address)?;
        for length in [1 << 20, 2] {
            let (answered, body) = wire.ask(path, fields, &vec![b' '; length])?;
            let body = String::from_utf8_lossy(&body);
            assert_eq!(answered, status, "{path} with {length} bytes: {body}");
        }
        // The host does not wait for a body that comes after the reply.
        let mut late = TcpStream::connect(address)?;
        write!(late, "POST {path} HTTP/1.1\r\nhost: test\r\n{fields}content-length: 5\r\n\r\n")?;
        let mut reply = String::new();
        late.read_to_string(&mut reply)?;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {reply}");
        assert!(reply.contains("\r\nconnection: close\r\n"), "{path}: {reply}");
    }
    alive(&host)
}

#[test]
fn a_body_that_breaks_off_hurts_nobody() -> Result<()> {
    let host = HOST.get();
    let mut stream = TcpStream::connect(host.address())?;
    write!(stream, "{POST}content-length: 1000\r\n\r\n{{\"inputs\"")?;
    drop(stream);
    alive(&host)
}

#[test]
fn what_is_not_http_hurts_nobody() -> Result<()> {
    let host = HOST.get();
    for noise in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"\0\0\0\0\0\0\0\0\r\n\r\n", b"GET\r\n\r\n"] {
        let mut stream = TcpStream::connect(host.address())?;
        stream.write_all(noise)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let _ = stream.read_to_end(&mut Vec::new());
    }
    alive(&host)
}

/// A header that announces four billion pixels without any data, and other files that are not valid pictures.
#[test]
fn pictures_that_lie_are_refused() -> Result<()> {
    let host = Host::with_models(prepared("BULKHEAD_MODELS"))?;
    let mut huge = Vec::new();
    let mut encoder = png::Encoder::new(&mut huge, 65_000, 65_000);
    encoder.set_color(png::ColorType::Rgb);
    let _ = encoder.write_header()?.write_image_data(&[]);
    let good = fs::read(fs::read_dir(repository().join("examples/digits/held-out"))?.next().context("none")??.path())?;
    for (what, picture) in [("huge", &huge[..]), ("torn", &good[..good.len() / 2]), ("text", b"hello"), ("empty", b"")]
    {
        let reply = host.post("/v2/models/digits/infer", "image/png", picture)?;
        let body: Value = reply.json();
        assert_eq!((reply.status, body["code"].as_str()), (400, Some("invalid_input")), "{what}: {body}");
        assert_eq!(body["stage"], "image-to-tensor", "{what}");
        println!("{what}: {}", body["error"]);
    }
    assert_eq!(host.post("/v2/models/digits/infer", "image/png", &good)?.status, 200);
    Ok(())
}
