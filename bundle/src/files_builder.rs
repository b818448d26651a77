//! Builder of [`Files`]: adds one file at a time, and refuses the first one that a bundle may not contain.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use bytes::Bytes;

use crate::path::{check, collision_key, shown};
use crate::private_key::holds_private_key;
use crate::{Bounds, Files, FilesError};

/// The files so far, and what remains of the bounds.
pub(crate) struct Gather<'a> {
    pub(crate) bounds: &'a Bounds,
    files: BTreeMap<String, Bytes>,
    /// Files and folders by the key of their path, each with the original spelling of the path's last part.
    names: HashMap<String, (String, Kind)>,
    entries: usize,
    bytes_left: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(bounds: &'a Bounds) -> Gather<'a> {
        let (files, names) = (BTreeMap::new(), HashMap::new());
        Gather { bounds, files, names, entries: 0, bytes_left: bounds.unpacked_bytes }
    }

    /// Adds a stored file, which was read once before.
    pub(crate) fn add(&mut self, path: &str, content: Bytes) -> Result<(), FilesError> {
        self.admit(path, content.len() as u64)?;
        self.files.insert(path.to_owned(), content);
        Ok(())
    }

    /// Reads as many bytes as were announced, and refuses private keys. Memory grows with the bytes that arrive and not with
    /// the announced size.
    pub(crate) fn read(&mut self, path: &str, announced: u64, source: impl Read) -> Result<(), FilesError> {
        self.admit(path, announced)?;
        let mut content = Vec::new();
        source.take(announced).read_to_end(&mut content).map_err(|error| unreadable(path, error))?;
        let came = content.len() as u64;
        if came < announced {
            return Err(FilesError::Cut { path: path.to_owned(), announced, came });
        }
        if holds_private_key(&content) {
            return Err(FilesError::PrivateKey(path.to_owned()));
        }
        content.shrink_to_fit();
        self.files.insert(path.to_owned(), content.into());
        Ok(())
    }

    pub(crate) fn folder(&mut self, path: &str) -> Result<(), FilesError> {
        self.count()?;
        self.check_path(path)?;
        self.claim_with_parents(path, Kind::Folder)
    }

    /// Counts an entry of any kind against the bound on files and folders.
    pub(crate) fn count(&mut self) -> Result<(), FilesError> {
        self.entries += 1;
        let bound = self.bounds.files;
        if self.entries > bound { Err(FilesError::TooMany { bound }) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> Files {
        Files(self.files)
    }

    fn admit(&mut self, path: &str, bytes: u64) -> Result<(), FilesError> {
        self.count()?;
        self.check_path(path)?;
        self.claim_with_parents(path, Kind::File)?;
        let bound = self.bounds.file_bytes;
        if bytes > bound {
            return Err(FilesError::FileTooLarge { path: path.to_owned(), bytes, bound });
        }
        let too_large = FilesError::TooLarge { bound: self.bounds.unpacked_bytes };
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(too_large)?;
        Ok(())
    }

    fn check_path(&self, path: &str) -> Result<(), FilesError> {
        check(path, self.bounds).map_err(|reason| FilesError::Path { path: shown(path.as_bytes()), reason })
    }

    fn claim_with_parents(&mut self, path: &str, kind: Kind) -> Result<(), FilesError> {
        for (slash, _) in path.match_indices('/') {
            self.claim(&path[..slash], Kind::Folder)?;
        }
        self.claim(path, kind)
    }

    /// Records a path. Its parent folders were recorded before, so only the last part can differ.
    fn claim(&mut self, path: &str, kind: Kind) -> Result<(), FilesError> {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        let key = collision_key(path);
        let Some((spelling, known)) = self.names.get(&key) else {
            self.names.insert(key, (last.to_owned(), kind));
            return Ok(());
        };
        if spelling != last {
            let other = format!("{parent}/{spelling}");
            let other = other.trim_start_matches('/').to_owned();
            return Err(FilesError::SameButCase { path: path.to_owned(), other });
        }
        match (known, kind) {
            (Kind::Folder, Kind::Folder) => Ok(()),
            (Kind::File, Kind::File) => Err(FilesError::Twice(path.to_owned())),
            _ => Err(FilesError::FileAndFolder { file: path.to_owned() }),
        }
    }
}

/// Recovers a [`FilesError`] that a bounded reader wrapped in its I/O error.
fn unreadable(path: &str, error: io::Error) -> FilesError {
    let what = || format!("\"{path}\"");
    error.downcast().unwrap_or_else(|error| FilesError::Unreadable { what: what(), error })
}
