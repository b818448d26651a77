//! The set-up that commands share: the wasm target, the host, the plugins, and Python packages for the tests.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

const WASM: &str = "wasm32-wasip2";

/// Name of the host's program.
pub(crate) const HOST: &str = "bulkhead";

/// Paths and packages of this repository.
pub(crate) struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    metadata: Value,
}

impl Workspace {
    pub(crate) fn find() -> Result<Workspace> {
        let output = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let folder = |key: &str| metadata[key].as_str().map(PathBuf::from).with_context(|| format!("no {key}"));
        Ok(Workspace { root: folder("workspace_root")?, target: folder("target_directory")?, metadata })
    }

    /// Path of the host's release build, for tests and the demo.
    pub(crate) fn host_binary(&self) -> PathBuf {
        self.target.join("release").join(HOST)
    }

    /// The folder of the components that were built from this workspace's plugins.
    pub(crate) fn components(&self) -> PathBuf {
        self.target.join(WASM).join("guest")
    }

    pub(crate) fn build_host(&self) -> Result<()> {
        step("building the host (the first time takes 10 to 15 minutes on two cores)");
        run(cargo().current_dir(&self.root).args(["build", "--release", "--package", "bulkhead"]))
    }

    /// Builds every package that makes a component.
    pub(crate) fn build_plugins(&self) -> Result<()> {
        self.add_wasm_target()?;
        step("building the plugins");
        let mut build = cargo();
        build.current_dir(&self.root).args(["build", "--profile", "guest", "--target", WASM]);
        for package in self.plugins() {
            build.args(["--package", package]);
        }
        run(&mut build)
    }

    fn plugins(&self) -> Vec<&str> {
        let is_component = |package: &&Value| package["targets"].to_string().contains("\"cdylib\"");
        let packages = self.metadata["packages"].as_array().into_iter().flatten();
        packages.filter(is_component).filter_map(|package| package["name"].as_str()).collect()
    }

    /// The output of `rustc --print WHAT`.
    pub(crate) fn rustc_print(&self, what: &str) -> Result<String> {
        let output = Command::new("rustc").current_dir(&self.root).args(["--print", what]).output()?;
        if !output.status.success() {
            bail!("rustc --print {what} failed");
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn add_wasm_target(&self) -> Result<()> {
        if Path::new(&self.rustc_print("sysroot")?).join("lib/rustlib").join(WASM).exists() {
            return Ok(());
        }
        step("adding the wasm target");
        run(Command::new("rustup").current_dir(&self.root).args(["target", "add", WASM]))
    }

    /// The Python of a virtual environment with these packages, which is made once, and again when the list changes.
    pub(crate) fn python(&self, name: &str, requirements: &Path) -> Result<PathBuf> {
        self.environment(name, requirements, &[])
    }

    /// The same as [`Workspace::python`], but without the dependencies of these packages.
    pub(crate) fn python_with_only(&self, name: &str, requirements: &Path) -> Result<PathBuf> {
        self.environment(name, requirements, &["--no-deps"])
    }

    fn environment(&self, name: &str, requirements: &Path, options: &[&str]) -> Result<PathBuf> {
        let environment = self.target.join("python").join(name);
        let python = environment.join("bin/python");
        let wanted = std::fs::read_to_string(requirements)?;
        let installed = environment.join("installed.txt");
        if std::fs::read_to_string(&installed).is_ok_and(|content| content == wanted) {
            return Ok(python);
        }
        step(&format!("installing the Python packages of {}", requirements.display()));
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet"]).args(options).arg("--requirement").arg(requirements);
        run(&mut install)?;
        std::fs::write(installed, wanted)?;
        Ok(python)
    }

    /// Writes a shell script that runs a command with these environment variables.
    pub(crate) fn launcher(&self, path: &Path, environment: &[(&str, String)], command: &[String]) -> Result<()> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let variables = environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        let command: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        let text = format!("#!/bin/sh\n{}exec {} \"$@\"\n", variables.collect::<String>(), command.join(" "));
        std::fs::write(path, text)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// The cargo that runs this program. The variables that it set for this program's package are removed: build scripts of
/// dependencies read these variables, and would run again whenever cargo is called by hand.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

pub(crate) fn step(what: &str) {
    eprintln!("==> {what}");
}
