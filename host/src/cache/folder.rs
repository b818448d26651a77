//! The files of the cache. Only this user may read them, and the least recently used are removed first.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

/// Prefix of the names of unfinished files, which no name of an entry has.
const UNFINISHED: &str = "unfinished-";

/// Age from which an unfinished file is removed. A writer needs seconds, so an older file was left by a host that was
/// killed.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn prepare(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for (path, metadata) in files(folder)? {
        let unfinished = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
        if unfinished && metadata.modified()?.elapsed().unwrap_or_default() > ABANDONED {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Removes the least recently used entries, until at most `most_bytes` are left.
pub(super) fn trim(folder: &Path, most_bytes: u64) -> io::Result<()> {
    let mut files = files(folder)?;
    let mut bytes: u64 = files.iter().map(|(_, metadata)| metadata.len()).sum();
    if bytes <= most_bytes {
        return Ok(());
    }
    files.sort_by_key(|(_, metadata)| metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
    for (path, metadata) in files {
        if bytes <= most_bytes {
            break;
        }
        remove(&path)?;
        bytes -= metadata.len();
    }
    Ok(())
}

/// Removes a file, which another thread may have removed before.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn files(folder: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => files.push((entry.path(), metadata)),
            Ok(_) => {}
            // The file was removed after the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// A file that only this user may read, and that is removed unless it is persisted.
pub(super) fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)
}

/// Records that an entry was used. If that fails, the entry is only removed earlier.
pub(super) fn touch(path: &Path) {
    let _ = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}
