//! Loads a host in the ways in which clients do, so that a compiler that watches it learns what it does most
//! (`cargo xtask dist`). Nothing is measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bulkhead_load::client::{Request, load, request};
use bulkhead_load::host::Host;
use bulkhead_load::numbers::Numbers;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Parser)]
struct Options {
    /// The host's program.
    #[arg(long)]
    host: PathBuf,
    /// The bundles of the digits example, and those of the comparison with other servers.
    #[arg(long)]
    models: PathBuf,
    /// A digit.
    #[arg(long)]
    picture: PathBuf,
}

const TURN: Duration = Duration::from_secs(2);

/// Calls that meet others take other ways than those that are alone.
const CONNECTIONS: [usize; 2] = [16, 1];

const SMALL: Numbers = Numbers { model: "ensemble", input: "x", shape: &[1, 16] };
const LARGE: Numbers = Numbers { model: "image", input: "x", shape: &[1, 3, 224, 224] };

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(train(&options))
}

async fn train(options: &Options) -> Result<()> {
    let requests = requests(std::fs::read(&options.picture)?);
    let host = Host::start(&options.host, &options.models).await?;
    let progress = ProgressBar::new((requests.len() * CONNECTIONS.len()) as u64);
    progress.set_style(ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}")?);
    for (title, request) in &requests {
        progress.set_message(*title);
        let address = if matches!(request, Request::Grpc(_)) { host.grpc } else { host.http };
        for connections in CONNECTIONS {
            let answered = load(address, request, connections, TURN).await.context(*title)?;
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
        ("few numbers as JSON", SMALL.as_json().into()),
        ("few numbers as bytes", SMALL.as_bytes().into()),
        ("few numbers over gRPC", Request::Grpc(SMALL.as_call())),
        ("many numbers as JSON", LARGE.as_json().into()),
        ("many numbers as JSON, packed", LARGE.as_json_with(&packed).into()),
        ("many numbers as bytes", LARGE.as_bytes().into()),
        ("many numbers over gRPC", Request::Grpc(LARGE.as_call())),
        ("a picture", request("/v2/models/digits/infer", "content-type: image/png", &picture).into()),
        ("rows of TensorFlow Serving", request("/v1/models/ensemble:predict", json, rows.as_bytes()).into()),
        ("metadata", metadata.into()),
    ]
}
