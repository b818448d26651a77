//! The command line. Commands that change or query a host are clients of the operator's API, as any other program can be,
//! and leave every decision to the host.

mod audit;
mod bundle;
mod client;
mod key;
mod model;
mod output;
mod publisher;
mod serve;
mod tenant;
mod values;
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
    Key(key::Key),
    Bundle(bundle::Bundle),
    Publisher(publisher::Publisher),
    Model(model::Model),
    Tenant(tenant::Tenant),
    Audit(audit::Audit),
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
        Command::Key(key) => finish(key.run()),
        Command::Bundle(bundle) => finish(bundle.run()),
        Command::Publisher(publisher) => finish(publisher.run()),
        Command::Model(model) => finish(model.run()),
        Command::Tenant(tenant) => finish(tenant.run()),
        Command::Audit(audit) => finish(audit.run()),
        Command::Worker(worker) => worker.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bulkhead", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

/// The exit code of a command; prints the error of one that failed.
fn finish(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a command's outcome to standard output. A closed pipe is not an error, because the command has done its work.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
