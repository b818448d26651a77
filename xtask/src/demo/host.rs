//! The program `bulkhead` in the demo: as a running host, and as commands that are printed so that a reader can repeat
//! them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup::{Workspace, run};

/// The demo's own folder, in which all commands run.
pub(super) struct Shell {
    binary: PathBuf,
    pub folder: PathBuf,
    /// Address of the operator's port, if it is not the default.
    admin: Option<String>,
}

/// A running host, which is killed when the value is dropped.
pub(super) struct Host {
    process: Child,
    pub address: String,
    pub admin: String,
}

impl Shell {
    /// Makes the folder; what an earlier run left there is removed.
    pub(super) fn new(workspace: &Workspace, name: &str) -> Result<Shell> {
        let folder = workspace.target.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        Ok(Shell { binary: workspace.host_binary(), folder, admin: None })
    }

    /// Prints a command and runs it.
    pub(super) fn bulkhead(&self, command: &str) -> Result<()> {
        println!("\n$ bulkhead {command}");
        run(self.command().args(command.split(' ')))
    }

    /// Starts the host, on its usual ports or on free ones.
    pub(super) fn serve(&mut self, any_port: bool) -> Result<Host> {
        let mut arguments = vec!["serve", "--log-level", "warn"];
        if any_port {
            arguments.extend(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        }
        println!("\n$ bulkhead {} &", arguments.join(" "));
        let mut process = self.command().args(arguments).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let Ok(addresses) = serde_json::from_str::<Value>(&line) else {
            bail!("the host did not start ({})", process.wait()?);
        };
        print!("{line}");
        let address = |key: &str| addresses[key].as_str().unwrap_or_default().to_owned();
        let host = Host { address: address("http"), admin: address("admin"), process };
        if any_port {
            println!("\n$ export BULKHEAD_ADMIN=http://{}", host.admin);
            self.admin = Some(format!("http://{}", host.admin));
        }
        Ok(host)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        // Variables that the reader's shell has set belong to another host.
        command.current_dir(&self.folder).env_remove("BULKHEAD_TOKEN").env_remove("BULKHEAD_ADMIN");
        if let Some(admin) = &self.admin {
            command.env("BULKHEAD_ADMIN", admin);
        }
        command
    }
}

/// Checks that the default ports are free, before the folder of a demo that may still run is removed.
pub(super) fn ports_are_free() -> Result<()> {
    for port in [8000, 8001, 8002] {
        TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("port {port} is taken; stop what listens there, or run the demo with --exit"))?;
    }
    Ok(())
}

impl Host {
    pub(super) fn ask(&self, model: &str, picture: &Path) -> Result<Value> {
        let url = format!("http://{}/v2/models/{model}/infer", self.address);
        let mut reply = ureq::post(&url).content_type("image/png").send(&fs::read(picture)?)?;
        Ok(serde_json::from_str(&reply.body_mut().read_to_string()?)?)
    }

    pub(super) fn wait(&mut self) -> Result<()> {
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
