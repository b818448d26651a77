//! `cargo xtask`: the tasks of this repository, such as tests, benchmarks and builds. Each command does its own set-up.

mod bench;
mod bundles;
mod demo;
mod dist;
mod fuzz;
mod onnx;
mod peers;
mod perf_analyzer;
mod setup;
mod test;

use clap::{Parser, Subcommand};

/// Set-up, demo, tests and benchmarks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Test(test::Test),
    Bench(bench::Bench),
    Dist(dist::Dist),
    Fuzz(fuzz::Fuzz),
    Peers(peers::Peers),
    Bundles(bundles::Bundles),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Test(test) => test.run(),
        Command::Bench(bench) => bench.run(),
        Command::Dist(dist) => dist.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Peers(peers) => peers.run(),
        Command::Bundles(bundles) => bundles.run(),
    }
}
