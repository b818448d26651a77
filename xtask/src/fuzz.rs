//! `cargo xtask fuzz`: long runs of the fuzz targets under libFuzzer. Only the host is instrumented, so that it reports
//! which code an input reached; all other crates are used as the tests built them. `graphs` is a program of its own, because
//! what it measures happens in tract, which is not instrumented.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::setup::{Workspace, cargo, run, step};

const EXAMPLES: &str = "\
Needs a C++ compiler for libFuzzer (c++, or the one in CXX). `cargo xtask test` has a short run that needs none.

Examples:
  cargo xtask fuzz                       # every target for 10 minutes
  cargo xtask fuzz grpc --time 8h        # one of them, overnight
  cargo xtask fuzz graphs --seeds 10000  # random graphs: what they are charged, and what they take
";

/// Search for input that breaks a decoder, guided by the code that the input reaches, and for graphs that take more than
/// they are charged
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Fuzz {
    /// One of the targets, which are the folders in fuzz/seeds, and graphs [default: the folders, one after the other]
    target: Option<String>,
    /// How long to run each target
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// How many random graphs to try
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    seeds: u64,
    /// The number of the first random graph
    #[arg(long, value_name = "SEED", default_value = "0")]
    first: u64,
}

/// The target of random graphs.
const GRAPHS: &str = "graphs";

impl Fuzz {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        if self.target.as_deref() == Some(GRAPHS) {
            return self.graphs(&workspace);
        }
        let targets = self.targets(&workspace.root)?;
        check_compiler()?;
        step("building the fuzz targets");
        let mut build = cargo();
        build.current_dir(&workspace.root).env("RUSTC_WORKSPACE_WRAPPER", workspace.root.join("fuzz/instrument.sh"));
        run(build.args(["build", "--release", "--package", "bulkhead-fuzz", "--features", "libfuzzer"]))?;
        for target in targets {
            search(&workspace, &target, self.time)?;
        }
        Ok(())
    }

    fn graphs(&self, workspace: &Workspace) -> Result<()> {
        step("building the random graphs");
        let mut build = cargo();
        build.current_dir(&workspace.root).args(["build", "--release", "--package", "bulkhead-fuzz", "--bin", GRAPHS]);
        run(&mut build)?;
        step(&format!("{} graphs", self.seeds));
        let mut graphs = Command::new(workspace.target.join("release").join(GRAPHS));
        run(graphs.args([self.first.to_string(), self.seeds.to_string()])).context(
            "a graph took more than it was charged: `graphs show SEED FILE`, in the same folder, writes its file",
        )
    }

    fn targets(&self, root: &Path) -> Result<Vec<String>> {
        let mut known = Vec::new();
        for entry in fs::read_dir(root.join("fuzz/seeds"))? {
            known.push(entry?.file_name().to_string_lossy().into_owned());
        }
        known.sort();
        match &self.target {
            None => Ok(known),
            Some(one) if known.contains(one) => Ok(vec![one.clone()]),
            Some(other) => {
                bail!("there is no fuzz target \"{other}\"; the targets are: {}, {GRAPHS}", known.join(", "))
            }
        }
    }
}

fn check_compiler() -> Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let asked = Command::new(&compiler).arg("--version").output();
    if !asked.is_ok_and(|output| output.status.success()) {
        let compiler = compiler.display();
        bail!(
            "libFuzzer is C++, and {compiler} does not run: install a C++ compiler (Debian: g++), or name one in CXX"
        );
    }
    Ok(())
}

/// Runs libFuzzer on one target. Inputs that reach new code are kept in the target folder, and the next run begins with
/// them.
fn search(workspace: &Workspace, target: &str, time: Duration) -> Result<()> {
    step(&format!("{target} for {}", humantime::format_duration(time)));
    let folder = workspace.target.join("fuzz").join(target);
    let (inputs, found) = (folder.join("inputs"), folder.join("found"));
    fs::create_dir_all(&inputs)?;
    fs::create_dir_all(&found)?;
    let mut fuzz = Command::new(workspace.target.join("release/fuzz"));
    fuzz.env("BULKHEAD_FUZZ_TARGET", target).env("BULKHEAD_FUZZ_INPUTS", &inputs);
    fuzz.env("CARGO_MANIFEST_DIR", workspace.root.join("fuzz"));
    fuzz.arg(format!("-max_total_time={}", time.as_secs().max(1)));
    // An input of 32 KiB takes far less than a second, unless the time of a decoder grows faster than the input's length.
    fuzz.args(["-max_len=32768", "-timeout=10", "-print_final_stats=1"]);
    fuzz.arg(format!("-dict={}", workspace.root.join("fuzz/dictionary.txt").display()));
    fuzz.arg(format!("-artifact_prefix={}/", found.display()));
    run(fuzz.arg(&inputs)).with_context(|| told(target, &found))
}

fn told(target: &str, found: &Path) -> String {
    format!(
        "{target} failed; the input is in {}. Copy it to fuzz/seeds/{target}, so that the tests try it",
        found.display()
    )
}
