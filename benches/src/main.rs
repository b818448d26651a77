//! `cargo xtask bench`: measures the cost of isolation. Each line compares two ways to do the same work, measured
//! alternately in one run, so that a noisy machine affects both alike.

mod graphs;
mod http;
mod stages;
mod tensors;

use std::path::PathBuf;

use anyhow::Result;
use bulkhead_load::host::Program;
use bulkhead_load::measure;
use clap::Parser;

#[derive(Parser)]
struct Options {
    /// The host, with the models of the examples.
    #[command(flatten)]
    program: Program,
    /// Folder with the built components.
    #[arg(long)]
    components: PathBuf,
    #[arg(long)]
    json: bool,
    /// Number of rounds for each of the two sides of a comparison; a round takes at least 10 ms.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Run only comparisons whose title contains this text.
    filter: Option<String>,
}

impl Options {
    fn wants(&self, what: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| what.contains(filter.as_str()))
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut comparisons = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(stages::compare(&options, &mut comparisons))?;
    runtime.block_on(graphs::compare(&options, &mut comparisons))?;
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(http::compare(&options, &mut comparisons))?;
    runtime.block_on(tensors::compare(&options, &mut comparisons))?;
    measure::print(&comparisons, options.json);
    Ok(())
}
