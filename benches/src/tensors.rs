//! A large tensor through one identity stage over HTTP: as bytes, and as JSON. One connection, the same host, in turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::BufReader;
use tokio::net::TcpStream;

use crate::Options;
use crate::http::{Host, read_reply, send};
use crate::measure::{Comparison, median};

const ELEMENTS: usize = 150_000;
const ROUNDS: usize = 10;
const ROUND: Duration = Duration::from_millis(300);

const TITLE: &str = "A tensor of 600 KB through one identity stage over HTTP, one connection";

pub async fn compare(options: &Options, comparisons: &mut Vec<Comparison>) -> Result<()> {
    if !options.wants(TITLE) {
        return Ok(());
    }
    let models = make_model(&options.components)?;
    let host = Host::start(options, &models).await?;
    let (binary, json) = (binary_request(), json_request());
    let mut stream = BufReader::new(TcpStream::connect(host.address).await?);
    stream.get_ref().set_nodelay(true)?;
    let (mut ours, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(round(&mut stream, &binary).await?);
        other.push(round(&mut stream, &json).await?);
    }
    fs::remove_dir_all(models)?;
    comparisons.push(Comparison {
        what: TITLE,
        ours: ("as bytes, both ways", median(ours)),
        other: ("as JSON, both ways", median(other)),
        unit: "µs",
        aim: None,
    });
    Ok(())
}

fn make_model(components: &Path) -> Result<PathBuf> {
    let models = std::env::temp_dir().join(format!("bulkhead-bench-{}", std::process::id()));
    let bundle = models.join("identity");
    fs::create_dir_all(&bundle)?;
    let manifest = "[bundle]\nname = \"bench/identity\"\nversion = \"1.0.0\"\n[[plugin]]\nname = \"identity\"\ncomponent = \"identity.wasm\"\n[pipeline]\nstages = [\"identity\"]\n";
    fs::write(bundle.join("bundle.toml"), manifest)?;
    fs::copy(components.join("identity.wasm"), bundle.join("identity.wasm")).context("identity.wasm")?;
    Ok(models)
}

fn values() -> impl Iterator<Item = f32> {
    // A generator of its own, so that every run has the same numbers.
    let mut state = 88_172_645_463_325_252u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    })
    .take(ELEMENTS)
}

const PATH: &str = "/v2/models/identity/infer";

fn binary_request() -> Vec<u8> {
    let json = format!(
        r#"{{"parameters":{{"binary_data_output":true}},"inputs":[{{"name":"input","shape":[{ELEMENTS}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        ELEMENTS * 4
    );
    let body: Vec<u8> = json.bytes().chain(values().flat_map(f32::to_le_bytes)).collect();
    let head = format!("inference-header-content-length: {}", json.len());
    crate::http::request(PATH, &head, &body)
}

/// Digits as Python writes them: those of a double.
fn json_request() -> Vec<u8> {
    let data: Vec<String> = values().map(|value| f64::from(value).to_string()).collect();
    let data = data.join(", ");
    let json = format!(r#"{{"inputs":[{{"name":"input","shape":[{ELEMENTS}],"datatype":"FP32","data":[{data}]}}]}}"#);
    crate::http::request(PATH, "content-type: application/json", json.as_bytes())
}

/// The median of what a request takes, in microseconds.
async fn round(stream: &mut BufReader<TcpStream>, request: &[u8]) -> Result<f64> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < ROUND {
        let sent = Instant::now();
        send(stream, request).await?;
        read_reply(stream).await?;
        times.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    ensure!(!times.is_empty());
    Ok(median(times))
}
