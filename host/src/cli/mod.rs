//! The command line.

mod bundle;
mod key;
mod serve;
mod worker;

use std::io::Write;
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
    Bundle(bundle::Bundle),
    Key(key::Key),
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
        Command::Bundle(bundle) => bundle.run(),
        Command::Key(key) => key.run(),
        Command::Worker(worker) => worker.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bulkhead", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

/// The end of a command that either did its work or says why not.
fn finish(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A command's outcome, for people and pipes.
fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
