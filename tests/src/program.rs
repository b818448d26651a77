//! Runs external programs that drive the host, such as other projects' clients.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use wait_timeout::ChildExt;

/// Upper bound on the time of one program, longer than any of them takes on a slow machine.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs a program to its end and returns its output.
pub fn finish(command: &mut Command) -> Result<Output> {
    Program::start(command)?.finish()
}

/// Runs a program, which must succeed, and returns its standard output.
pub fn succeed(command: &mut Command) -> Result<String> {
    Program::start(command)?.succeed()
}

/// A running external program. If it hangs, only its own test fails, with the output so far.
pub struct Program {
    process: Child,
    name: String,
    /// Output goes to files and not to pipes, because a surviving child process that inherited a pipe would block the
    /// reader.
    stdout: File,
    stderr: File,
}

impl Program {
    pub fn start(command: &mut Command) -> Result<Program> {
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        Ok(Program { process: command.spawn()?, name: format!("{command:?}"), stdout, stderr })
    }

    pub fn finish(mut self) -> Result<Output> {
        let ended = self.process.wait_timeout(LONGEST)?.is_some();
        if !ended {
            self.process.kill()?;
        }
        let status = self.process.wait()?;
        let output = Output { status, stdout: all(self.stdout)?, stderr: all(self.stderr)? };
        ensure!(ended, "it did not end within {LONGEST:?}: {}\n{}", self.name, words(&output));
        Ok(output)
    }

    pub fn succeed(self) -> Result<String> {
        let output = self.finish()?;
        ensure!(output.status.success(), "{}", words(&output));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn all(mut file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn words(output: &Output) -> String {
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{said}\n{failed}")
}
