//! `cargo xtask peers`: the comparison with NVIDIA Triton. Triton and its load generator are set up from their Python
//! packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bundles::Example;
use crate::dist::Trained;
use crate::setup::{Workspace, cargo, run, step};

/// Compare with NVIDIA Triton on the same two cores, as ratios within one run
///
/// Sets up a real Triton with its Python backend and NVIDIA's perf_analyzer (x86-64, Python 3.8 to 3.12), serves the same
/// models on both, and loads one after the other.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask peers\n  cargo xtask peers gRPC --rounds 3\n  cargo xtask peers --json"
)]
pub(crate) struct Peers {
    /// Print JSON for machines instead of a table
    #[arg(long)]
    json: bool,
    /// Turns of each server in each comparison
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only comparisons whose title contains this
    filter: Option<String>,
}

/// The models of Triton's repository: name, the Python program that the model runs, if any, and files that are put beside
/// it.
const MODELS: [(&str, Option<&str>, &[&str]); 4] = [
    ("identity", Some("identity.py"), &[]),
    ("mlp", Some("mlp.py"), &["mlp.onnx"]),
    ("ensemble", None, &[]),
    ("image", Some("identity.py"), &[]),
];

impl Peers {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        let host = Trained::of(&workspace)?.host()?;
        workspace.build_plugins()?;
        let folder = workspace.target.join("peers");
        let models = folder.join("bundles");
        for example in Example::peers(&workspace) {
            example.assemble(&workspace, &models)?;
        }
        let triton = triton(&workspace, &folder)?;
        let mut bench = on_two_cores();
        bench.current_dir(&workspace.root).args(["run", "--quiet", "--release", "--package", "bulkhead-peers", "--"]);
        bench.arg("--host").arg(host).arg("--models").arg(&models);
        bench.arg("--triton").arg(triton).arg("--perf-analyzer").arg(workspace.perf_analyzer()?);
        bench.arg("--rounds").arg(self.rounds.to_string());
        if self.json {
            bench.arg("--json");
        }
        bench.args(self.filter);
        run(&mut bench)
    }
}

/// A cargo command whose processes all share two cores, on larger machines, too.
fn on_two_cores() -> Command {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() <= 2) {
        return cargo();
    }
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0,1"]).arg(cargo().get_program());
    command
}

/// Installs Triton, and returns a program that starts it with its models. The caller of the program adds the ports.
fn triton(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let sources = workspace.root.join("benches/peers");
    let python = workspace.python_with_only("triton", &sources.join("requirements.txt"))?;
    step("setting up Triton");
    let place = Place::of(&python)?;
    let (server, backends) = (place.packages.join("pytriton/tritonserver"), folder.join("backends"));
    make_backend(&server, &backends.join("python"), &place.version)?;
    let repository = folder.join("repository");
    make_repository(&sources, &repository)?;
    let libraries = place.packages.join("nvidia_pytriton.libs");
    let (bin, packages) = (python.parent().context("no folder")?.display(), place.packages.display().to_string());
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    let environment = [
        ("LD_LIBRARY_PATH", format!("{}:{}", libraries.display(), place.library_folder.display())),
        ("PATH", path),
        ("PYTHONPATH", packages),
    ];
    let command = [
        server.join("bin/tritonserver").display().to_string(),
        format!("--model-repository={}", repository.display()),
        format!("--backend-directory={}", backends.display()),
        "--allow-gpu-metrics=false".into(),
    ];
    let launcher = folder.join("tritonserver");
    workspace.launcher(&launcher, &environment, &command)?;
    Ok(launcher)
}

/// The parts of a Python environment that Triton needs.
struct Place {
    packages: PathBuf,
    /// The folder with Python as a shared library, which Triton's backend loads.
    library_folder: PathBuf,
    version: String,
}

impl Place {
    fn of(python: &Path) -> Result<Place> {
        let ask = "import json, sys, sysconfig; print(json.dumps([sysconfig.get_path('purelib'), sysconfig.get_config_var('LIBDIR'), '%d.%d' % sys.version_info[:2]]))";
        let output = Command::new(python).args(["-c", ask]).output()?;
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        let text = |at: usize| answer[at].as_str().map(str::to_owned).context("Python does not say where it is");
        Ok(Place { packages: text(0)?.into(), library_folder: text(1)?.into(), version: text(2)? })
    }
}

/// Makes Triton's Python backend, with the program that runs models in this version of Python.
fn make_backend(server: &Path, backend: &Path, version: &str) -> Result<()> {
    let stub = server.join("python_backend_stubs").join(version).join("triton_python_backend_stub");
    if !stub.is_file() {
        bail!("Triton's package runs models in Python 3.8 to 3.12, but this is Python {version}");
    }
    let _ = fs::remove_dir_all(backend);
    fs::create_dir_all(backend)?;
    for entry in fs::read_dir(server.join("backends/python"))? {
        let file = entry?.path();
        if file.is_file() {
            fs::copy(&file, backend.join(file.file_name().unwrap_or_default()))?;
        }
    }
    let program = backend.join("triton_python_backend_stub");
    fs::copy(stub, &program)?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn make_repository(sources: &Path, repository: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(repository);
    for (name, program, files) in MODELS {
        let version = repository.join(name).join("1");
        fs::create_dir_all(&version)?;
        let config = sources.join("triton").join(name).with_extension("pbtxt");
        fs::copy(config, repository.join(name).join("config.pbtxt"))?;
        if let Some(program) = program {
            fs::copy(sources.join("triton").join(program), version.join("model.py"))?;
        }
        for file in files {
            fs::copy(sources.join(file), version.join(file))?;
        }
    }
    Ok(())
}
