//! `cargo xtask peers`: compares the host with NVIDIA Triton. Both run all the time, and only one of them at a time is
//! under load, alternately and with the same load, which runs on the same cores.

mod cases;
mod perf_analyzer;
mod triton;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use bulkhead_load::client::{Connection, Request, Server};
use bulkhead_load::host::Program;
use bulkhead_load::measure::{self, Comparison, median};
use bulkhead_load::progress::progress;
use clap::Parser;
use serde_json::Value;

use cases::Case;
use triton::Triton;

#[derive(clap::Parser)]
struct Options {
    /// The host, with the models that Triton has too.
    #[command(flatten)]
    program: Program,
    /// Program that starts Triton with its models.
    #[arg(long)]
    triton: PathBuf,
    #[arg(long)]
    perf_analyzer: PathBuf,
    #[arg(long)]
    json: bool,
    /// Number of turns of each server in each comparison.
    #[arg(long)]
    rounds: usize,
    /// Run only comparisons whose title contains this text.
    filter: Option<String>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    // A single thread, so that the load generator uses one thread only.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let comparisons = runtime.block_on(compare(&options))?;
    measure::print(&comparisons, options.json);
    Ok(())
}

async fn compare(options: &Options) -> Result<Vec<Comparison>> {
    let wanted = |case: &Case| options.filter.as_ref().is_none_or(|filter| case.title.contains(filter.as_str()));
    let cases: Vec<Case> = cases::all().into_iter().filter(wanted).collect();
    let progress = progress(cases.len() * options.rounds * 2)?;
    progress.set_message("starting both");
    let triton = Triton::start(&options.triton).await?;
    let host = options.program.start().await?;
    let (ours, other) = (host.server, triton.server);
    check_answers(&ours, &other).await?;
    let mut comparisons = Vec::new();
    for case in &cases {
        let (mut ours_found, mut other_found) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            for (name, server, found) in [("bulkhead", &ours, &mut ours_found), ("Triton", &other, &mut other_found)] {
                progress.set_message(format!("{}: {name}", case.title));
                found.push(case.measure(server, &options.perf_analyzer).await.context(name)?);
                progress.inc(1);
            }
        }
        comparisons.push(Comparison {
            what: case.title,
            ours: ("bulkhead", median(ours_found)),
            other: ("Triton", median(other_found)),
            unit: case.load.unit(),
            aim: Some(case.aim),
        });
    }
    progress.finish_and_clear();
    Ok(comparisons)
}

/// Checks that both servers give the same results, because otherwise their speed cannot be compared.
async fn check_answers(ours: &Server, other: &Server) -> Result<()> {
    for request in cases::questions() {
        let (ours, other) = (answer(ours, &request).await?, answer(other, &request).await?);
        ensure!(ours.len() == other.len() && !ours.is_empty(), "{} and {} numbers", ours.len(), other.len());
        let differs = |(ours, other): (&f64, &f64)| (ours - other).abs() > 1e-5 * other.abs().max(1.0);
        let at = ours.iter().zip(&other).position(differs);
        ensure!(at.is_none(), "the answers differ at {at:?}: {ours:?}, {other:?}");
    }
    Ok(())
}

async fn answer(server: &Server, request: &Request) -> Result<Vec<f64>> {
    let Request::Http(request) = request else { bail!("asked over HTTP only") };
    let mut connection = Connection::open(server.http).await?;
    let reply: Value = serde_json::from_slice(connection.exchange(request).await?)?;
    let data = reply["outputs"][0]["data"].as_array().with_context(|| reply.to_string())?;
    Ok(data.iter().filter_map(Value::as_f64).collect())
}
