//! A bundle as a folder: its manifest and the files that the manifest names, read within bounds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Manifest, ManifestError};

/// The file that makes a folder a bundle.
const MANIFEST: &str = "bundle.toml";

const MAX_MANIFEST_BYTES: u64 = 1 << 20;
const MAX_FILE_BYTES: u64 = 2 << 30;

/// A manifest and the bytes of its files.
pub struct Bundle {
    pub manifest: Manifest,
    pub files: BTreeMap<String, Bytes>,
}

/// A folder is not a usable bundle. The texts name files as the bundle does, never where they lie.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("the bundle's file {file} cannot be read: {error}")]
    Unreadable { file: String, error: io::Error },
    #[error("the bundle's file {file} has more than {bound} bytes")]
    TooLarge { file: String, bound: u64 },
    #[error("the bundle's file {file} is a link that leaves the folder")]
    Outside { file: String },
}

impl Bundle {
    pub fn read_manifest(folder: &Path) -> Result<Manifest, FolderError> {
        let manifest = read(&root(folder)?, MANIFEST, MAX_MANIFEST_BYTES)?;
        let text = String::from_utf8(manifest).map_err(|_| ManifestError::Syntax("it is not UTF-8".into()))?;
        Ok(Manifest::parse(&text)?)
    }

    /// Reads the files that a manifest names.
    pub fn open(manifest: Manifest, folder: &Path) -> Result<Bundle, FolderError> {
        let root = root(folder)?;
        let mut files = BTreeMap::new();
        for file in manifest.files() {
            files.insert(file.to_owned(), Bytes::from(read(&root, file, MAX_FILE_BYTES)?));
        }
        Ok(Bundle { manifest, files })
    }
}

fn root(folder: &Path) -> Result<PathBuf, FolderError> {
    folder.canonicalize().map_err(|error| FolderError::Unreadable { file: MANIFEST.into(), error })
}

/// The bundle folders directly in a folder, by name.
pub fn find_bundles(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut bundles = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join(MANIFEST).is_file() {
            bundles.push(path);
        }
    }
    bundles.sort();
    Ok(bundles)
}

fn read(root: &Path, file: &str, bound: u64) -> Result<Vec<u8>, FolderError> {
    let unreadable = |error| FolderError::Unreadable { file: file.into(), error };
    let path = root.join(file).canonicalize().map_err(unreadable)?;
    if !path.starts_with(root) {
        return Err(FolderError::Outside { file: file.into() });
    }
    let mut content = Vec::new();
    fs::File::open(path).map_err(unreadable)?.take(bound + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > bound {
        return Err(FolderError::TooLarge { file: file.into(), bound });
    }
    Ok(content)
}
