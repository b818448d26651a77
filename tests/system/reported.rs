//! Inputs that users of other servers reported as bugs: each is served here, or refused with a text that says what to do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use system_tests::{Start, component, identity};

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
