//! The command line.

mod serve;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Serves models with other people's code around them, each in its own watertight compartment.
#[derive(Parser)]
#[command(name = "bulkhead", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    /// Print a script that completes commands and flags in your shell
    #[command(
        after_help = "Example:\n  bulkhead completions bash > ~/.local/share/bash-completion/completions/bulkhead"
    )]
    Completions {
        shell: clap_complete::Shell,
    },
    #[command(hide = true)]
    Worker(worker::Worker),
}

pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Worker(worker) => worker.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bulkhead", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}
