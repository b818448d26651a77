//! A page in a browser, by the rules of the Fetch standard and with the header fields that Chromium 156 sends. A browser
//! itself is not run: as packages it is larger than everything else that the tests install.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use system_tests::{Host, Start, component, example, identity};

const PAGE: &str = "http://localhost:5173";

/// The header fields of every request of a page.
const OF_BROWSER: &str = "Connection: close\r\nAccept: */*\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
     (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: \
     cross-site\r\nSec-Fetch-Dest: empty\r\nAccept-Language: en-US,en;q=0.9\r\n";

/// A reply as a page sees it.
struct Seen {
    status: u16,
    head: String,
    body: String,
}

impl Seen {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn lists(&self, name: &str, wanted: &str) -> bool {
        let listed = self.field(name).unwrap_or_default();
        listed.split(',').any(|value| value.trim().eq_ignore_ascii_case(wanted))
    }
}

/// A page of this origin, whose browser refuses what the Fetch standard does not let it read.
struct Page<'a> {
    host: &'a Host,
    origin: &'a str,
}

impl Page<'_> {
    fn fetch(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Result<Seen> {
        let mut unsafe_fields: Vec<String> =
            fields.iter().filter(|field| !is_safe(field)).map(|(name, _)| name.to_lowercase()).collect();
        unsafe_fields.sort();
        if !unsafe_fields.is_empty() || !matches!(method, "GET" | "HEAD" | "POST") {
            self.preflight(method, path, &unsafe_fields)?;
        }
        let own: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.check(self.send(method, path, &format!("{own}{length}"), body)?)
    }

    /// The question whether a request may be sent that a form could not send.
    fn preflight(&self, method: &str, path: &str, fields: &[String]) -> Result<()> {
        let named = if fields.is_empty() {
            String::new()
        } else {
            format!("Access-Control-Request-Headers: {}\r\n", fields.join(","))
        };
        let asked = format!("Access-Control-Request-Method: {method}\r\n{named}");
        let reply = self.check(self.send("OPTIONS", path, &asked, "")?)?;
        if !(200..300).contains(&reply.status) {
            bail!("the preflight is answered with {}", reply.status);
        }
        if !matches!(method, "GET" | "HEAD" | "POST") && !reply.lists("access-control-allow-methods", method) {
            bail!("{method} is not allowed");
        }
        match fields.iter().find(|field| !reply.lists("access-control-allow-headers", field)) {
            Some(field) => bail!("the field {field} is not allowed"),
            None => Ok(()),
        }
    }

    /// The reply, if the page may read it.
    fn check(&self, reply: Seen) -> Result<Seen> {
        match reply.field("access-control-allow-origin") {
            Some(allowed) if allowed == "*" || allowed == self.origin => Ok(reply),
            allowed => bail!("the page may not read this: it allows {allowed:?}"),
        }
    }

    fn send(&self, method: &str, path: &str, fields: &str, body: &str) -> Result<Seen> {
        let mut stream = TcpStream::connect(self.host.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let (address, origin) = (self.host.address(), self.origin);
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: {origin}\r\nReferer: {origin}/\r\n");
        stream.write_all(format!("{head}{OF_BROWSER}{fields}\r\n{body}").as_bytes())?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        let reply = String::from_utf8_lossy(&reply).into_owned();
        let (head, body) = reply.split_once("\r\n\r\n").with_context(|| reply.clone())?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Seen { status, head: head.to_owned(), body: body.to_owned() })
    }
}

/// True for a field that a page may send without a question, because forms send it, too.
fn is_safe(&(name, value): &(&str, &str)) -> bool {
    let forms = ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"];
    name.eq_ignore_ascii_case("content-type") && forms.iter().any(|form| value.starts_with(form))
}

fn start(origin: &str) -> Result<Host> {
    let files = [component("identity")];
    let (romanize, networks) = example("romanize")?;
    let start = Start::default().bundle(&identity("vector", "FP32", &[-1]), &files);
    let start = start.bundle(&identity("texts", "BYTES", &[-1]), &files).bundle(&romanize, &networks);
    start.config(&format!("[http]\ncors-origins = ['{origin}']\n")).start()
}

const BODY: &str = r#"{"inputs":[{"name":"input","datatype":"FP32","shape":[2],"data":[1,2.5]}]}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_page_of_a_listed_origin_is_served() -> Result<()> {
    let host = start(PAGE)?;
    let page = Page { host: &host, origin: PAGE };
    let infer = "/v2/models/vector/infer";
    let reply = page.fetch("POST", infer, &[JSON], BODY)?;
    assert!(reply.status == 200 && reply.body.contains("[1.0,2.5]"), "{}", reply.body);
    assert!(reply.lists("access-control-expose-headers", "x-request-id"), "{}", reply.head);
    assert!(reply.lists("vary", "origin"), "{}", reply.head);
    let key = format!("Bearer {}", host.key("default", "infer")?);
    assert_eq!(page.fetch("POST", infer, &[JSON, ("authorization", &key)], BODY)?.status, 200);
    let refused = page.fetch("POST", infer, &[JSON, ("authorization", "Bearer wrong")], BODY)?;
    assert!(refused.status == 401 && refused.body.contains("unauthenticated"), "{}", refused.body);
    let plain = [("content-type", "text/plain;charset=UTF-8")];
    assert_eq!(page.fetch("POST", infer, &plain, BODY)?.status, 200);
    let raw = page.fetch("POST", infer, &[("inference-header-content-length", "0")], "\0\0\0\0")?;
    assert!(raw.status == 200, "{}", raw.body);
    assert!(raw.lists("access-control-expose-headers", "inference-header-content-length"), "{}", raw.head);
    assert_eq!(page.fetch("GET", "/v2/models/vector", &[], "")?.status, 200);
    assert_eq!(page.fetch("GET", "/v2/models/none", &[], "")?.status, 404);
    let form = "------WebKitFormBoundaryqT\r\nContent-Disposition: form-data; name=\"file\"; filename=\"blob\"\r\n\
                Content-Type: application/octet-stream\r\n\r\nhi\r\n------WebKitFormBoundaryqT--\r\n";
    let typed = [("content-type", "multipart/form-data; boundary=----WebKitFormBoundaryqT")];
    let reply = page.fetch("POST", "/v2/models/texts/infer", &typed, form)?;
    assert!(reply.status == 200 && reply.body.contains("[\"hi\"]"), "{}", reply.body);
    let stream = page.fetch("POST", "/v2/models/romanize/generate_stream", &[JSON], "{\"name\": \"علي\"}")?;
    assert!(stream.status == 200 && stream.body.contains("data: {"), "{}", stream.body);
    let put = page.fetch("PUT", "/v2/models/vector", &[], "").err().context("PUT")?;
    assert!(put.to_string().contains("PUT is not allowed"), "{put}");
    Ok(())
}

#[test]
fn pages_of_other_origins_read_nothing() -> Result<()> {
    let host = start(PAGE)?;
    for origin in ["http://127.0.0.1:5173", "http://localhost:5174", "https://localhost:5173", "null"] {
        let page = Page { host: &host, origin };
        for (method, path, fields, body) in [
            ("POST", "/v2/models/vector/infer", &[JSON][..], BODY),
            ("POST", "/v2/models/vector/infer", &[], BODY),
            ("GET", "/v2/models/vector", &[], ""),
        ] {
            let read = page.fetch(method, path, fields, body);
            assert!(read.is_err(), "{origin} reads {path}");
        }
    }
    Ok(())
}
