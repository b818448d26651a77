//! `bulkhead worker`: the child processes in which the host compiles a component, tries a graph, or runs graphs. Only the
//! host starts them.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::runtime::{RunnerLimits, TryGraph, run_graphs};
use crate::sandbox::Compile;
use crate::worker::{self, OwnLimits};

/// Work for the host, within limits
#[derive(Parser)]
#[command(name = "worker")]
pub(super) struct Worker {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Compile the component of the job on standard input
    Compile(Limits),
    /// Load the graph of the job on standard input
    Graph(Limits),
    /// Run graphs for the host, which is connected to standard input
    RunGraphs(Runner),
}

#[derive(Args)]
struct Limits {
    /// Limit on memory, in bytes
    memory: u64,
    cpu_seconds: u64,
}

#[derive(Args)]
struct Runner {
    /// Runs at once
    lanes: usize,
    /// Limit on memory, in bytes
    memory: u64,
    /// Limit on the tensors of a run, in bytes
    file: u64,
}

impl Worker {
    pub(super) fn run(self) -> ExitCode {
        let own = |Limits { memory, cpu_seconds }| OwnLimits { memory, cpu_seconds };
        match self.job {
            Job::Compile(limits) => worker::main::<Compile>(&own(limits)),
            Job::Graph(limits) => worker::main::<TryGraph>(&own(limits)),
            Job::RunGraphs(Runner { lanes, memory, file }) => run_graphs(&RunnerLimits { lanes, memory, file }),
        }
    }
}
