//! The command line. Commands that change or query a host are clients of the operator's API, as any other program can be,
//! and leave every decision to the host.

mod audit;
mod bundle;
mod client;
mod key;
mod model;
mod output;
mod publisher;
mod reference;
mod serve;
mod supervisor;
mod tenant;
mod values;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use output::{Output, WrongUsage};

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
}

pub fn main() -> ExitCode {
    // Only the host starts workers, so they are no command of the parser that people and their shells see.
    if std::env::args_os().nth(1).is_some_and(|command| command == "worker") {
        return worker::Worker::parse_from(std::env::args_os().skip(1)).run();
    }
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Key(key) => finish(key.output, || key.run()),
        Command::Bundle(bundle) => finish(bundle.output, || bundle.run()),
        Command::Publisher(publisher) => finish(publisher.output, || publisher.run()),
        Command::Model(model) => finish(model.output, || model.run()),
        Command::Tenant(tenant) => finish(tenant.output, || tenant.run()),
        Command::Audit(audit) => finish(audit.output, || audit.run()),
        Command::Completions { shell } => finish(Output { json: false }, || complete(shell)),
    }
}

/// Exit code of a wrong command line, also where the parser of arguments finds it.
const WRONG_USAGE: u8 = 2;

/// The exit code of a command; prints the error of one that failed.
fn finish(output: Output, run: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.tell_failure(&error);
            if error.is::<WrongUsage>() { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn complete(shell: clap_complete::Shell) -> anyhow::Result<()> {
    // The generator panics if it cannot write, as to a pipe that is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bulkhead", &mut script);
    print(String::from_utf8(script)?.trim_end())
}

/// Prints a command's outcome to standard output. A closed pipe is not an error, because the command has done its work.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
