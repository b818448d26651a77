//! `cargo xtask fuzz`: long runs of the fuzz targets under libFuzzer. Only the host is instrumented, so that it reports
//! which code an input reached; all other crates are used as the tests built them.

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
";

/// Search for input that breaks a decoder, guided by the code that the input reaches
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Fuzz {
    /// One of the targets, the folders in fuzz/seeds [default: all, one after the other]
    target: Option<String>,
    /// How long to run each target
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    time: Duration,
}

impl Fuzz {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
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

    fn targets(&self, root: &Path) -> Result<Vec<String>> {
        let mut known = Vec::new();
        for entry in fs::read_dir(root.join("fuzz/seeds"))? {
            known.push(entry?.file_name().to_string_lossy().into_owned());
        }
        known.sort();
        match &self.target {
            None => Ok(known),
            Some(one) if known.contains(one) => Ok(vec![one.clone()]),
            Some(other) => bail!("there is no fuzz target \"{other}\"; the targets are: {}", known.join(", ")),
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
