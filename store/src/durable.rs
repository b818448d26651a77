//! Durable writes: a file is there whole and for good, or not at all. It is written in another folder, synchronised and
//! renamed, and the folder that names it is synchronised, too.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file with mode 0600, which replaces a file of the same name. A failure never leaves a part of the new file; the
/// old one stays until the new one is complete.
pub(crate) fn replace(staging: &Path, target: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    filled(staging, fill)?.persist(target)?;
    sync_parent(target)
}

/// The same as [`replace`], but a file that already has the name stays, and the error is `AlreadyExists`.
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
