//! `bulkhead bundle`: what a publisher does with a bundle, and what anyone can find out about one. None of these
//! commands needs a running host.

mod inspect;
mod pack;
mod sign;
mod verify;

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use bulkhead_bundle::{Bounds, Files};
use clap::{Args, Subcommand};

use crate::bundle::Bundle as Contents;

/// Pack, sign, verify and inspect bundles
#[derive(Args)]
pub struct Bundle {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pack(pack::Pack),
    Sign(sign::Sign),
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
}

impl Bundle {
    pub fn run(self) -> ExitCode {
        super::finish(match self.command {
            Command::Pack(pack) => pack.run(),
            Command::Sign(sign) => sign.run(),
            Command::Verify(verify) => verify.run(),
            Command::Inspect(inspect) => inspect.run(),
        })
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

/// What a bundle says of itself, with every file there that it names.
fn read(place: &Path) -> Result<Contents> {
    Contents::read(open(place)?).with_context(|| place.display().to_string())
}

/// A file that is there whole or not at all.
fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let unwritten = || format!("{} cannot be written", path.display());
    // Readable as other files are; a temporary file is not.
    let mode = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().permissions(mode).tempfile_in(folder_of(path));
    let mut file = file.with_context(unwritten)?;
    write(file.as_file_mut()).with_context(unwritten)?;
    file.persist(path).map_err(|error| error.error).with_context(unwritten)?;
    Ok(())
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
