//! `cargo xtask dist`: the host as operators run it, with profile-guided optimisation. It is built twice: the first build
//! records which code runs how often under load, and the second is optimised with this profile.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::bundles::Example;
use crate::setup::{HOST, Workspace, cargo, run, step};

/// Build the host for operators, with profile-guided optimisation
///
/// The first time it is built twice, and put under load for a minute in between, which takes up to an hour on two cores.
/// The profile is kept in the target folder, and used by later builds. Prints the path of the program.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask dist\n  cargo xtask dist --train    # to record a new profile")]
pub(crate) struct Dist {
    /// Record a new profile, even if there is one
    #[arg(long)]
    train: bool,
}

impl Dist {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        let trained = Trained::of(&workspace)?;
        if self.train {
            trained.train()?;
        }
        println!("{}", trained.host()?.display());
        Ok(())
    }
}

/// Profiles contain only counts, and no values such as the targets of indirect calls: values would be written when a
/// process ends, when the host's children may not write.
const ONLY_COUNTS: &str = "-Cllvm-args=-disable-vp";

/// Builds with the profile of the host under load.
pub(crate) struct Trained<'a> {
    workspace: &'a Workspace,
    /// Target triple of this machine. It is passed to cargo as `--target`, because then build scripts and macros are not
    /// built with these flags.
    machine: String,
    folder: PathBuf,
}

impl Trained<'_> {
    pub(crate) fn of(workspace: &Workspace) -> Result<Trained<'_>> {
        let machine = workspace.rustc_print("host-tuple")?;
        Ok(Trained { workspace, machine, folder: workspace.target.join("training") })
    }

    /// Builds the host's program, and records a profile first if there is none. Returns the path of the program.
    pub(crate) fn host(&self) -> Result<PathBuf> {
        if !self.seen().is_file() {
            self.train()?;
        }
        step("building the host with its profile (the first time takes 20 to 30 minutes on two cores)");
        run(self.cargo("build").args(["--package", "bulkhead"]))?;
        self.keep_built(&self.workspace.target.join("dist"))
    }

    /// A cargo command for programs that are built with the same profile as the host.
    pub(crate) fn cargo(&self, command: &str) -> Command {
        let seen = format!("-Cprofile-use={}", self.seen().display());
        // Code that has changed since the profile was recorded is built without one, and without a warning.
        self.cargo_with(command, &[&seen, "-Cllvm-args=-no-pgo-warn-mismatch", ONLY_COUNTS])
    }

    fn train(&self) -> Result<()> {
        let merge = self.profdata()?;
        let watched = self.build_watched()?;
        for old in self.records()? {
            fs::remove_file(old)?;
        }
        self.workspace.build_plugins()?;
        let models = self.folder.join("models");
        for example in Example::digits(self.workspace).iter().chain(&Example::peers(self.workspace)) {
            example.assemble(self.workspace, &models)?;
        }
        step("recording the profile under load");
        let mut load = cargo();
        load.current_dir(&self.workspace.root).args(["run", "--quiet", "--release", "--package", "bulkhead-pgo", "--"]);
        load.arg("--host").arg(watched).arg("--models").arg(models);
        run(load.arg("--picture").arg(self.workspace.root.join("examples/digits/held-out/00-is-2.png")))?;
        run(Command::new(merge).arg("merge").arg("--output").arg(self.seen()).args(self.records()?))
    }

    fn build_watched(&self) -> Result<PathBuf> {
        step("building the host to record a profile (20 to 30 minutes on two cores)");
        // With %c the counts are in the file at all times: the host is killed, and its children may not write when they
        // end.
        let records = format!("-Cprofile-generate={}/%c", self.folder.display());
        let flags = [&records, "-Cllvm-args=-runtime-counter-relocation", ONLY_COUNTS];
        run(self.cargo_with("build", &flags).args(["--package", "bulkhead"]))?;
        self.keep_built(&self.folder)
    }

    fn cargo_with(&self, command: &str, flags: &[&str]) -> Command {
        let mut cargo = cargo();
        cargo.current_dir(&self.workspace.root).args([command, "--profile", "dist", "--target", &self.machine]);
        // Cargo ignores RUSTFLAGS if CARGO_ENCODED_RUSTFLAGS is set, so its flags are added here.
        let own = std::env::var("RUSTFLAGS").unwrap_or_default();
        let flags: Vec<&str> = own.split_whitespace().chain(flags.iter().copied()).collect();
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        cargo
    }

    /// Copies the built program to a folder where the next build does not overwrite it.
    fn keep_built(&self, folder: &Path) -> Result<PathBuf> {
        let (built, kept) = (self.workspace.target.join(&self.machine).join("dist").join(HOST), folder.join(HOST));
        fs::create_dir_all(folder)?;
        fs::copy(built, &kept)?;
        Ok(kept)
    }

    fn seen(&self) -> PathBuf {
        self.folder.join("seen.profdata")
    }

    fn records(&self) -> Result<Vec<PathBuf>> {
        let files = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path()));
        let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
        Ok(files.into_iter().filter(|file| file.extension() == Some(OsStr::new("profraw"))).collect())
    }

    /// The program `llvm-profdata`, which merges profiles, from the toolchain that records them; it is installed if it is
    /// missing.
    fn profdata(&self) -> Result<PathBuf> {
        let tools =
            Path::new(&self.workspace.rustc_print("sysroot")?).join("lib/rustlib").join(&self.machine).join("bin");
        let program = tools.join("llvm-profdata");
        if !program.is_file() {
            step("adding the toolchain's tools for LLVM");
            run(Command::new("rustup").current_dir(&self.workspace.root).args(["component", "add", "llvm-tools"]))?;
        }
        program.is_file().then_some(program).context("the toolchain has no llvm-profdata")
    }
}
