//! `bulkhead worker`: the child process in which the host compiles a component or tries a graph. Only the host starts it,
//! so the command is hidden.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::runtime::TryGraph;
use crate::sandbox::Compile;
use crate::worker::{self, OwnLimits};

/// Do one job for the host, read from standard input, within limits
#[derive(Args)]
pub(super) struct Worker {
    job: Job,
    /// Limit on memory, in bytes
    memory: u64,
    cpu_seconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Job {
    Compile,
    Graph,
}

impl Worker {
    pub(super) fn run(self) -> ExitCode {
        let limits = OwnLimits { memory: self.memory, cpu_seconds: self.cpu_seconds };
        match self.job {
            Job::Compile => worker::main::<Compile>(&limits),
            Job::Graph => worker::main::<TryGraph>(&limits),
        }
    }
}
