//! Extended headers of the POSIX format, which several common programs write without being asked: for times of parts
//! of a second, for names of more than 100 bytes, for attributes of the file system.

use std::io::Read;

use crate::FilesError;
use crate::path::shown;

const MAX_BYTES: u64 = 64 << 10;

/// Times, owners, remarks: nothing of them is part of a bundle.
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

/// The path that the header gives the next entry, if it does. Whatever else would change what the entry is (its size,
/// its holes, where it points) is refused.
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
