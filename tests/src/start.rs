//! Builder for starting a host.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Host, Place, prepared};

/// The options that a host is started with.
#[derive(Default)]
pub struct Start {
    models: Option<PathBuf>,
    /// Manifests of bundles that are made for this host alone, each with its files.
    bundles: Vec<(String, Vec<PathBuf>)>,
    config: String,
    /// Data folder of an earlier host, if that state is to be used again.
    data: Option<(PathBuf, Option<Arc<tempfile::TempDir>>)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Arguments of the shell's `ulimit`.
    limits: Vec<String>,
    log_is_unread: bool,
}

impl Start {
    pub fn models(mut self, folder: impl Into<PathBuf>) -> Start {
        self.models = Some(folder.into());
        self
    }

    /// Adds a bundle that is made for this host alone. It is not served if `models` names another folder.
    pub fn bundle(mut self, manifest: &str, files: &[PathBuf]) -> Start {
        self.bundles.push((manifest.to_owned(), files.to_vec()));
        self
    }

    /// Appends to the configuration file, in TOML.
    pub fn config(mut self, config: &str) -> Start {
        self.config.push_str(config);
        self
    }

    /// Sets the folder in which the host keeps its state.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Start {
        self.data = Some((folder.into(), None));
        self
    }

    /// Starts with the state of an earlier host.
    pub fn data_of(mut self, host: &Host) -> Start {
        self.data = Some((host.place.data.clone(), host.place.state.clone()));
        self
    }

    /// Adds one argument to the command line.
    pub fn argument(mut self, argument: &str) -> Start {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable of the host's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Start {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the soft limit of open files, which the host may raise.
    pub fn open_files(mut self, soft: usize) -> Start {
        self.limits.push(format!("-Sn {soft}"));
        self
    }

    /// Sets the hard limit of open files, which the host cannot raise. It must not be lower than the soft limit.
    pub fn most_open_files(mut self, hard: usize) -> Start {
        self.limits.push(format!("-Hn {hard}"));
        self
    }

    /// Sets the limit of addresses, in KiB.
    pub fn address_space(mut self, kib: u64) -> Start {
        self.limits.push(format!("-v {kib}"));
        self
    }

    /// Leaves the host's standard error unread, so that its pipe gets full.
    pub fn unread_log(mut self) -> Start {
        self.log_is_unread = true;
        self
    }

    pub fn start(self) -> Result<Host> {
        let is_read = !self.log_is_unread;
        let (command, place) = self.command()?;
        Host::spawn(command, place, is_read)
    }

    /// Starts a host and kills it after this time, as a power cut would end it.
    pub fn start_and_kill(self, after: Duration) -> Result<()> {
        let (mut command, _place) = self.command()?;
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(after);
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Runs a host that is expected not to start, and returns its exit code and standard error.
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
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Unsigned bundles of a folder are served with --dev only.
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
        if self.limits.is_empty() {
            return Command::new(binary);
        }
        let limits: String = self.limits.iter().map(|limit| format!("ulimit {limit} && ")).collect();
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
