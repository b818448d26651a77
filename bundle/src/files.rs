//! The files of a bundle in memory, under paths that are safe to use.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use crate::files_builder::Gather;
use crate::path::PathError;
use crate::{Bounds, Digest, SIGNATURE};

/// Every file of a bundle by its path, `bundle.sig` included. For every source, the paths are relative, stay within the
/// bundle and are unambiguous on every file system, and the [`Bounds`] hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(pub(crate) BTreeMap<String, Bytes>);

/// The reason why files cannot form a bundle. The texts name paths within the bundle, and never paths of this machine.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("the path \"{path}\" cannot be in a bundle: {reason}")]
    Path { path: String, reason: PathError },
    #[error("\"{0}\" appears twice")]
    Twice(String),
    #[error(
        "\"{path}\" and \"{other}\" differ only in case, or in variants of letters; on some systems they are one file"
    )]
    SameButCase { path: String, other: String },
    #[error("\"{file}\" is a file, and a folder with files in it")]
    FileAndFolder { file: String },
    #[error("\"{0}\" is a link; a bundle holds files only, so put a copy of the file there")]
    Link(String),
    #[error("\"{path}\" is {kind}; a bundle holds plain files only")]
    Special { path: String, kind: String },
    #[error(
        "\"{0}\" has a private key in it; take it out of the bundle, and make another key if others may have seen it"
    )]
    PrivateKey(String),
    #[error("there are more than {bound} files and folders")]
    TooMany { bound: usize },
    #[error("\"{path}\" has {bytes} bytes, and the bound of one file is {bound}")]
    FileTooLarge { path: String, bytes: u64, bound: u64 },
    #[error("the bundle has more than {bound} bytes when unpacked")]
    TooLarge { bound: u64 },
    #[error("the archive has more than {bound} bytes")]
    ArchiveTooLarge { bound: u64 },
    #[error("\"{path}\" is cut off: {came} of {announced} bytes arrived")]
    Cut { path: String, announced: u64, came: u64 },
    #[error("the archive is cut off: it has no end mark")]
    NoEnd,
    #[error("there is data after the archive's end mark")]
    Trailing,
    #[error("the archive's {what} is not accepted: pack it with `bulkhead bundle pack` or a plain `tar`")]
    Unusual { what: String },
    #[error("it cannot be read as an archive (.tar, .tar.gz or .tar.zst): {0}")]
    Archive(String),
    #[error("{what} cannot be read: {error}")]
    Unreadable { what: String, error: io::Error },
}

impl Files {
    /// Builds a bundle from contents that were stored under these paths.
    pub fn from_parts(parts: BTreeMap<String, Bytes>, bounds: &Bounds) -> Result<Files, FilesError> {
        let mut gather = Gather::new(bounds);
        for (path, content) in parts {
            gather.add(&path, content)?;
        }
        Ok(gather.finish())
    }

    pub fn get(&self, path: &str) -> Option<&Bytes> {
        self.0.get(path)
    }

    /// The files by path, in the byte order of the paths.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(path, content)| (path.as_str(), content))
    }

    pub fn total_bytes(&self) -> u64 {
        self.0.values().map(|content| content.len() as u64).sum()
    }

    /// Sets the signature, replacing any that was present.
    pub fn with_signature(mut self, signature: impl Into<Bytes>) -> Files {
        self.0.insert(SIGNATURE.into(), signature.into());
        self
    }

    /// The identity of the contents, which does not depend on the signature. It is the SHA-256 of the output of `sha256sum`
    /// for the files:
    ///
    /// ```sh
    /// find . -type f ! -path ./bundle.sig -printf '%P\n' | LC_ALL=C sort |
    ///     xargs -d '\n' sha256sum -- | sha256sum
    /// ```
    pub fn digest(&self) -> Digest {
        identity(&self.digests())
    }

    /// The digest of each file that a signature covers.
    pub fn digests(&self) -> BTreeMap<&str, Digest> {
        let signed = self.iter().filter(|(path, _)| *path != SIGNATURE);
        signed.map(|(path, content)| (path, Digest::of(content))).collect()
    }
}

pub(crate) fn identity(digests: &BTreeMap<&str, Digest>) -> Digest {
    Digest::of_all(digests.iter().map(|(path, digest)| format!("{}  {path}\n", digest.hex())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(parts: &[(&str, &str)]) -> Result<Files, FilesError> {
        let parts = parts.iter().map(|(path, text)| ((*path).to_owned(), Bytes::copy_from_slice(text.as_bytes())));
        Files::from_parts(parts.collect(), &Bounds::default())
    }

    #[test]
    fn names_that_are_one_file_somewhere_are_refused() {
        for (parts, wanted) in [
            (vec![("a.txt", ""), ("A.txt", "")], "\"a.txt\" and \"A.txt\" differ only in case"),
            (vec![("x/a", ""), ("X/b", "")], "\"x\" and \"X\" differ only in case"),
            (vec![("a", ""), ("a/b", "")], "\"a\" is a file, and a folder"),
            (vec![("a", ""), ("A/b", "")], "differ only in case"),
            (vec![("a/../b", "")], "leads out"),
        ] {
            let error = files(&parts).unwrap_err().to_string();
            assert!(error.contains(wanted), "{parts:?}: {error}");
        }
    }

    #[test]
    fn parts_are_held_to_the_bounds() {
        let bounds = Bounds { files: 2, file_bytes: 4, unpacked_bytes: 6, ..Bounds::default() };
        for (sizes, wanted) in [
            (&[1, 1, 1][..], "more than 2 files"),
            (&[5], "has 5 bytes, and the bound of one file is 4"),
            (&[4, 3], "more than 6 bytes"),
        ] {
            let part = |(number, size): (usize, &usize)| (format!("f{number}"), Bytes::from(vec![0; *size]));
            let parts = sizes.iter().enumerate().map(part).collect();
            let error = Files::from_parts(parts, &bounds).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn the_digest_is_of_contents_and_names_but_not_of_the_signature() {
        let one = files(&[("a", "1"), ("b", "2")]).unwrap();
        assert_eq!(one.digest(), one.clone().with_signature("anyone's").digest());
        for other in [[("a", "1"), ("b", "3")], [("a", "1"), ("c", "2")], [("a", "2"), ("b", "1")]] {
            assert_ne!(one.digest(), files(&other).unwrap().digest());
        }
    }
}
