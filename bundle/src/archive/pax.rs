//! Extended headers of the POSIX format. Several common programs write them by default: for times with fractions of a
//! second, paths of more than 100 bytes, and attributes of the file system.

use std::io::Read;

use crate::FilesError;
use crate::path::shown;

const MAX_BYTES: u64 = 64 << 10;

/// Keys for times, owners and comments, which are not part of a bundle.
const IGNORED: [&str; 13] = [
    "LIBARCHIVE.creationtime",
    "SCHILY.dev",
    "SCHILY.fflags",
    "SCHILY.ino",
    "SCHILY.nlink",
    "atime",
    "comment",
    "ctime",
    "gid",
    "gname",
    "mtime",
    "uid",
    "uname",
];
const IGNORED_BEGINNINGS: [&str; 3] = ["LIBARCHIVE.xattr.", "SCHILY.acl.", "SCHILY.xattr."];

/// Returns the path that the header sets for the next entry, if any. Keys that would otherwise change the entry (its size,
/// holes or link target) are refused.
pub(super) fn read_path(size: u64, source: impl Read) -> Result<Option<Vec<u8>>, FilesError> {
    if size > MAX_BYTES {
        return Err(unusual(format!("extended header of {size} bytes (the bound is {MAX_BYTES})")));
    }
    let mut header = Vec::new();
    source.take(size).read_to_end(&mut header)?;
    if header.len() as u64 != size {
        return Err(FilesError::NoEnd);
    }
    let mut path = None;
    for extension in tar::PaxExtensions::new(&header) {
        let extension = extension?;
        match extension.key_bytes() {
            b"path" if path.is_none() => path = Some(extension.value_bytes().to_owned()),
            key if is_ignored(key) => {}
            key => return Err(unusual(format!("extended header \"{}\"", shown(key)))),
        }
    }
    Ok(path)
}

pub(super) fn unusual(what: String) -> FilesError {
    FilesError::Unusual { what }
}

fn is_ignored(key: &[u8]) -> bool {
    IGNORED.iter().any(|known| key == known.as_bytes())
        || IGNORED_BEGINNINGS.iter().any(|beginning| key.starts_with(beginning.as_bytes()))
}
