//! `bulkhead bundle`: commands that pack, sign, verify and inspect bundles, and that upload, list, revoke and delete them
//! at a host. Only `push`, `list`, `revoke` and `delete` need a running host.

mod inspect;
mod manage;
mod pack;
mod push;
mod sign;
mod stowaways;
mod verify;

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use bulkhead_bundle::{Bounds, Files};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use crate::activation::{Bundle as Contents, PluginEntry};
use crate::sandbox::check_component;

/// Sign, pack, verify and inspect bundles; upload, list, revoke and delete them
#[derive(Args)]
pub(super) struct Bundle {
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pack(pack::Pack),
    Sign(sign::Sign),
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
    Push(push::Push),
    List(manage::List),
    Revoke(manage::Revoke),
    Delete(manage::Delete),
}

impl Bundle {
    pub(super) fn run(self) -> Result<()> {
        match self.command {
            Command::Pack(pack) => pack.run(self.output),
            Command::Sign(sign) => sign.run(self.output),
            Command::Verify(verify) => verify.run(self.output),
            Command::Inspect(inspect) => inspect.run(self.output),
            Command::Push(push) => push.run(self.output),
            Command::List(list) => list.run(self.output),
            Command::Revoke(revoke) => revoke.run(self.output),
            Command::Delete(delete) => delete.run(self.output),
        }
    }
}

/// The files of a folder or an archive.
fn open(place: &Path) -> Result<Files> {
    let bounds = Bounds::default();
    let files = if place.is_dir() {
        Files::read_folder(place, &bounds)
    } else {
        Files::unpack(File::open(place).with_context(|| place.display().to_string())?, &bounds)
    };
    files.with_context(|| place.display().to_string())
}

/// Checks that a bundle's folder is one.
fn check_folder(folder: &Path) -> Result<()> {
    ensure!(folder.exists(), "there is no folder {}", folder.display());
    ensure!(folder.is_dir(), "{} is a file; a bundle is signed and packed from its folder", folder.display());
    Ok(())
}

/// A bundle's manifest and files; an error if a file that the manifest names is missing.
fn read(place: &Path) -> Result<Contents> {
    Contents::complete(open(place)?).with_context(|| place.display().to_string())
}

/// Why a host would refuse a plugin's component before it compiles it: it is none, or has imports that it cannot have.
fn refused_component(plugin: &PluginEntry, files: &Files) -> Option<String> {
    let component = files.get(&plugin.component)?;
    check_component(component, &plugin.capabilities().collect()).err().map(|error| error.to_string())
}

/// Writes a file as a whole or not at all: a temporary file in the same folder is renamed when it is complete. Unless
/// `overwrite`, a file that is there already is an error.
fn write_whole(path: &Path, overwrite: bool, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let unwritten = || format!("{} cannot be written", path.display());
    // Temporary files are private by default; this one gets the mode of an ordinary file.
    let mode = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().permissions(mode).tempfile_in(folder_of(path));
    let mut file = file.with_context(unwritten)?;
    write(file.as_file_mut()).with_context(unwritten)?;
    let persisted = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
    match persisted {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(taken(path)),
        Err(error) => Err(error.error).with_context(unwritten),
    }
}

fn taken(path: &Path) -> Error {
    anyhow!("{} is there already: choose another name, or replace it with --overwrite", path.display())
}

/// A progress bar, which is visible on a terminal only.
fn progress_bar(doing: &'static str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes).with_message(doing);
    match ProgressStyle::with_template("{msg} {bar:40} {bytes} of {total_bytes}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
