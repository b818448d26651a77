//! How a host is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Host, Place, prepared};

/// How to start a host.
#[derive(Default)]
pub struct Start {
    models: Option<PathBuf>,
    /// Manifests of bundles that are made for this host alone, with the files that they name.
    bundles: Vec<(String, Vec<PathBuf>)>,
    config: String,
    /// Where a host before it kept its state.
    data: Option<(PathBuf, Option<Arc<tempfile::TempDir>>)>,
    arguments: Vec<String>,
    /// Arguments of a shell's `ulimit`.
    open_files: Vec<String>,
}

impl Start {
    pub fn models(mut self, folder: impl Into<PathBuf>) -> Start {
        self.models = Some(folder.into());
        self
    }

    /// A bundle made for this host alone, beside the others or instead of them.
    pub fn bundle(mut self, manifest: &str, files: &[PathBuf]) -> Start {
        self.bundles.push((manifest.to_owned(), files.to_vec()));
        self
    }

    /// TOML.
    pub fn config(mut self, config: &str) -> Start {
        self.config.push_str(config);
        self
    }

    /// A folder that the host keeps its state in.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Start {
        self.data = Some((folder.into(), None));
        self
    }

    /// The state of a host that was there before.
    pub fn data_of(mut self, host: &Host) -> Start {
        self.data = Some((host.place.data.clone(), host.place.state.clone()));
        self
    }

    /// One more argument of the command line.
    pub fn argument(mut self, argument: &str) -> Start {
        self.arguments.push(argument.to_owned());
        self
    }

    /// How many files the process may have open before it says that it needs more.
    pub fn open_files(mut self, soft: usize) -> Start {
        self.open_files.push(format!("-Sn {soft}"));
        self
    }

    /// How many it may ever have open, which must not be fewer.
    pub fn most_open_files(mut self, hard: usize) -> Start {
        self.open_files.push(format!("-Hn {hard}"));
        self
    }

    pub fn start(self) -> Result<Host> {
        let (command, place) = self.command()?;
        Host::spawn(command, place)
    }

    /// Starts a host, and ends it as a power cut would so long after that.
    pub fn start_and_kill(self, after: Duration) -> Result<()> {
        let (mut command, _place) = self.command()?;
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(after);
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// What a host says that cannot start, and its exit code.
    pub fn fails(self) -> Result<(Option<i32>, String)> {
        let (mut command, _place) = self.command()?;
        let output = command.stdin(Stdio::null()).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    fn command(self) -> Result<(Command, Place)> {
        let folder = Arc::new(tempfile::tempdir()?);
        let config = folder.path().join("bulkhead.toml");
        std::fs::write(&config, &self.config)?;
        let mut command = self.program();
        command.args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        command.arg("--config").arg(&config);
        command.args(&self.arguments);
        // Bundles in a folder are served unsigned, which is for --dev alone.
        if self.models.is_some() || !self.bundles.is_empty() {
            let models = self.models.as_deref().unwrap_or(folder.path());
            command.arg("--dev").arg("--models").arg(models);
        }
        self.make_bundles(folder.path())?;
        let own = (folder.path().join("data"), Some(folder.clone()));
        let (data, state) = self.data.unwrap_or(own);
        command.arg("--data").arg(&data);
        Ok((command, Place { data, state, _own: folder }))
    }

    fn program(&self) -> Command {
        let binary = prepared("BULKHEAD_BINARY");
        if self.open_files.is_empty() {
            return Command::new(binary);
        }
        let limits: String = self.open_files.iter().map(|limit| format!("ulimit {limit} && ")).collect();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limits}exec \"$0\" \"$@\"")]).arg(binary);
        shell
    }

    fn make_bundles(&self, folder: &Path) -> Result<()> {
        for (number, (manifest, files)) in self.bundles.iter().enumerate() {
            let bundle = folder.join(format!("bundle-{number}"));
            std::fs::create_dir(&bundle)?;
            std::fs::write(bundle.join("bundle.toml"), manifest)?;
            for file in files {
                let name = file.file_name().context("a file has a name")?;
                std::fs::copy(file, bundle.join(name)).with_context(|| file.display().to_string())?;
            }
        }
        Ok(())
    }
}
