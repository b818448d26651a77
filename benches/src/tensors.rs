//! A large tensor through one identity stage over HTTP: as bytes and as JSON, alternately over one connection to the same
//! host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bulkhead_load::client::latency;
use bulkhead_load::host::Host;
use bulkhead_load::measure::{Comparison, median};
use bulkhead_load::numbers::Numbers;

use crate::Options;

const ROUNDS: usize = 10;
const ROUND: Duration = Duration::from_millis(300);

const TITLE: &str = "A tensor of 600 KB through one identity stage over HTTP, one connection";

const TENSOR: Numbers = Numbers { model: "identity", input: "input", shape: &[150_000] };

pub(crate) async fn compare(options: &Options, comparisons: &mut Vec<Comparison>) -> Result<()> {
    if !options.wants(TITLE) {
        return Ok(());
    }
    let models = make_model(&options.components)?;
    let host = Host::start(&options.program.host, &models).await?;
    let (binary, json) = (TENSOR.as_bytes(), TENSOR.as_json());
    let (mut ours, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(latency(host.server.http, &binary, ROUND).await?);
        other.push(latency(host.server.http, &json, ROUND).await?);
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
