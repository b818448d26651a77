//! Files that are there whole and for good, or not at all: written beside, synchronised, renamed, and the folder that
//! names them synchronised too.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file of mode 0600 that replaces what has its name. On failure the old one stays, and no part of the new one.
pub(crate) fn replace(staging: &Path, target: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    filled(staging, fill)?.persist(target)?;
    sync_parent(target)
}

/// The same, but a file that has the name already stays, and this is `AlreadyExists`.
pub(crate) fn create(staging: &Path, target: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    filled(staging, fill)?.persist_noclobber(target)?;
    sync_parent(target)
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn filled(staging: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(staging)?;
    fill(file.as_file_mut())?;
    file.as_file().sync_all()?;
    Ok(file)
}

pub(crate) fn sync_parent(target: &Path) -> io::Result<()> {
    target.parent().map_or(Ok(()), sync_folder)
}
