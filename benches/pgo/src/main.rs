//! Drives a host with the requests that clients send, while the host records the profile for `cargo xtask dist`. It
//! measures nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bulkhead_load::client::{Request, load, request};
use bulkhead_load::host::Program;
use bulkhead_load::numbers::Numbers;
use bulkhead_load::progress::progress;
use clap::Parser;

#[derive(Parser)]
struct Options {
    /// The host, with the models of the digits example and those of the comparison with other servers.
    #[command(flatten)]
    program: Program,
    /// File with a picture of a digit.
    #[arg(long)]
    picture: PathBuf,
}

const TURN: Duration = Duration::from_secs(2);

/// Numbers of connections: concurrent calls take other paths through the code than single calls.
const CONNECTIONS: [usize; 2] = [16, 1];

const SMALL: Numbers = Numbers { model: "ensemble", input: "x", shape: &[1, 16] };
const LARGE: Numbers = Numbers { model: "image", input: "x", shape: &[1, 3, 224, 224] };

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(train(&options))
}

async fn train(options: &Options) -> Result<()> {
    let requests = requests(std::fs::read(&options.picture)?);
    let host = options.program.start().await?;
    let progress = progress(requests.len() * CONNECTIONS.len())?;
    for (title, request) in &requests {
        progress.set_message(*title);
        for connections in CONNECTIONS {
            let answered = load(host.server.address(request), request, connections, TURN).await.context(*title)?;
            ensure!(answered > 0.0, "{title}: nothing was answered");
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

fn requests(picture: Vec<u8>) -> Vec<(&'static str, Request)> {
    let json = "content-type: application/json";
    let packed = format!("{json}\r\naccept-encoding: gzip");
    let rows = format!("{{\"instances\": [{:?}]}}", [0.25; 16]);
    let metadata = b"GET /v2/models/ensemble HTTP/1.1\r\nhost: bench\r\n\r\n".to_vec();
    vec![
        ("few numbers as JSON", SMALL.as_json()),
        ("few numbers as bytes", SMALL.as_bytes()),
        ("few numbers over gRPC", SMALL.as_call()),
        ("many numbers as JSON", LARGE.as_json()),
        ("many numbers as JSON, packed", LARGE.as_json_with(&packed)),
        ("many numbers as bytes", LARGE.as_bytes()),
        ("many numbers over gRPC", LARGE.as_call()),
        ("a picture", request("/v2/models/digits/infer", "content-type: image/png", &picture)),
        ("rows of TensorFlow Serving", request("/v1/models/ensemble:predict", json, rows.as_bytes())),
        ("metadata", Request::Http(metadata)),
    ]
}
