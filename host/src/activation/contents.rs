//! The contents of a bundle: its manifest, and the bytes of its files.

use std::io;
use std::path::{Path, PathBuf};

use bulkhead_bundle::{Files, MANIFEST};
use bytes::Bytes;

use super::{Manifest, ManifestError};

/// Bound on the size of a manifest: well above any real one, and small enough to be cheap to parse.
const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// A manifest with the files that are packed beside it.
pub struct Bundle {
    pub manifest: Manifest,
    files: Files,
}

#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    #[error("it has no {MANIFEST}")]
    NoManifest,
    #[error("{MANIFEST} has {bytes} bytes; at most {MAX_MANIFEST_BYTES} are allowed")]
    LongManifest { bytes: usize },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{MANIFEST} names the file {0}, which is not in the bundle")]
    MissingFile(String),
}

impl Bundle {
    /// Reads the manifest, and checks that every file that it names is there.
    pub fn complete(files: Files) -> Result<Bundle, ContentsError> {
        let bundle = Bundle::read(files)?;
        let missing = bundle.manifest.files().into_iter().find(|file| bundle.files.get(file).is_none());
        match missing.map(str::to_owned) {
            Some(missing) => Err(ContentsError::MissingFile(missing)),
            None => Ok(bundle),
        }
    }

    /// Reads the manifest. The caller has verified the files, or accepts unsigned ones.
    pub fn read(files: Files) -> Result<Bundle, ContentsError> {
        let text = files.get(MANIFEST).ok_or(ContentsError::NoManifest)?;
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(ContentsError::LongManifest { bytes: text.len() });
        }
        let text = std::str::from_utf8(text).map_err(|_| ManifestError::Syntax("it is not UTF-8".into()))?;
        let manifest = Manifest::parse(text)?;
        Ok(Bundle { manifest, files })
    }

    pub fn into_parts(self) -> (Manifest, Files) {
        (self.manifest, self.files)
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    /// A file that the manifest names.
    pub fn file(&self, name: &str) -> Result<Bytes, ContentsError> {
        self.files.get(name).cloned().ok_or_else(|| ContentsError::MissingFile(name.into()))
    }
}

/// The bundle folders directly inside a folder, sorted by path.
pub fn find_bundles(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut bundles = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join(MANIFEST).is_file() {
            bundles.push(path);
        }
    }
    bundles.sort();
    Ok(bundles)
}
