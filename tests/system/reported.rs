//! Inputs that users of other servers reported as bugs: each is served here, or refused with a text that says what to do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use system_tests::{Host, Reply, Shared, Start, component, identity, prepared, repository, succeed};

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    let models = [
        ("vector", "FP32", &[-1][..]),
        ("open", "FP32", &[-1, -1]),
        ("rows", "FP32", &[-1, 3]),
        ("doubles", "FP64", &[-1]),
        ("halves", "FP16", &[-1]),
        ("numbers", "INT64", &[-1]),
        ("unsigned", "UINT64", &[-1]),
        ("small", "INT8", &[-1]),
        ("texts", "BYTES", &[-1]),
    ];
    let bundle = |start: Start, (model, datatype, shape): &(&str, &str, &[i64])| {
        start.bundle(&identity(model, datatype, shape), &files)
    };
    models.iter().fold(Start::default(), bundle).start()
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The report: the repository and number of the issue.
    report: String,
    #[serde(default = "post")]
    method: String,
    path: String,
    #[serde(default)]
    body: String,
    status: u16,
    /// Parts of the reply's body.
    contains: Vec<String>,
}

fn post() -> String {
    "POST".into()
}

impl Case {
    fn send(&self, host: &Host) -> Result<Reply> {
        host.ask(&self.method, &format!("{}{}", host.url, self.path), "", "application/json", self.body.as_bytes())
    }
}

#[test]
fn reported_requests_are_served_or_refused_in_plain_words() -> Result<()> {
    let host = HOST.get();
    let file: File = toml::from_str(&std::fs::read_to_string(repository().join("tests/reported.toml"))?)?;
    assert!(file.case.len() >= 30, "{}", file.case.len());
    for case in &file.case {
        let reply = case.send(&host)?;
        assert_eq!(reply.status, case.status, "{}: {reply:?}", case.report);
        for part in &case.contains {
            assert!(reply.body.contains(part), "{}: no {part}: {reply:?}", case.report);
        }
    }
    Ok(())
}

/// A body in chunks of one byte is charged by its bytes: counted by the chunk, this one would fill the buffers of the host.
/// Triton's server ended at such bodies (CVE-2025-23310, triton-inference-server/server#8770).
#[test]
fn a_body_in_the_smallest_chunks_costs_no_more_than_another() -> Result<()> {
    let start = Start::default().config("[http]\nbuffered-bytes = '16 MiB'\n");
    let host = start.bundle(&identity("vector", "FP32", &[-1]), &[component("identity")]).start()?;
    let body = format!(
        "{}{}",
        r#"{"inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[1]}]}"#,
        " ".repeat(100_000)
    );
    let mut stream = TcpStream::connect(host.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let head =
        "POST /v2/models/vector/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunks: String = body.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
    write!(stream, "{head}{chunks}0\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    Ok(())
}

/// A client that speaks gRPC at the port for HTTP learns which port it wants (isarsoft/yolov4-triton-tensorrt#15, where
/// the client says only that it cannot connect).
#[test]
fn a_client_of_the_wrong_port_is_told_the_other_one() -> Result<()> {
    let host = HOST.get();
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
    let said = succeed(client.arg(repository().join("tests/clients/wrong_port.py")).arg(host.address()))?;
    assert!(said.ends_with("all\n"), "{said}");
    let plain = host.ask("GET", &format!("http://{}/v2", host.grpc), "", "application/json", b"")?;
    plain.refused(415, "not_grpc", &["listen.http"]).map(drop)
}
