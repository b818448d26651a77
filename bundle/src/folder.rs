//! Reads a bundle from a folder of this machine.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::files_builder::Gather;
use crate::path::{PathError, shown};
use crate::{Bounds, Files, FilesError};

impl Files {
    /// Reads every file of a folder. Symbolic links within the folder are refused and never followed; the folder itself may
    /// be a link.
    pub fn read_folder(folder: &Path, bounds: &Bounds) -> Result<Files, FilesError> {
        let mut gather = Gather::new(bounds);
        read_folder(folder, "", &mut gather)?;
        Ok(gather.finish())
    }
}

/// Recurses once for each part of the path, whose number is bounded.
fn read_folder(folder: &Path, path: &str, gather: &mut Gather<'_>) -> Result<(), FilesError> {
    let what = if path.is_empty() { "the bundle's folder".to_owned() } else { format!("the folder \"{path}\"") };
    let unreadable = |error| FilesError::Unreadable { what: what.clone(), error };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let path = shown(name.as_encoded_bytes());
            return Err(FilesError::Path { path, reason: PathError::NotText });
        };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        read_entry(&entry.path(), &path, gather)?;
    }
    Ok(())
}

fn read_entry(place: &Path, path: &str, gather: &mut Gather<'_>) -> Result<(), FilesError> {
    let unreadable = |error| FilesError::Unreadable { what: format!("\"{}\"", shown(path.as_bytes())), error };
    let found = place.symlink_metadata().map_err(unreadable)?;
    if found.is_dir() {
        gather.folder(path)?;
        return read_folder(place, path, gather);
    }
    if !found.is_file() {
        return Err(special(path, found.file_type()));
    }
    let (file, length) = open_same(place, &found).map_err(unreadable)?;
    gather.read(path, length, file)
}

/// Opens the file that was inspected. An error if another file, such as a link's target, has taken its place since.
fn open_same(place: &Path, found: &fs::Metadata) -> io::Result<(File, u64)> {
    let file = File::open(place)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return Err(io::Error::other("it was replaced while the bundle was read; try again"));
    }
    Ok((file, opened.len()))
}

fn special(path: &str, kind: fs::FileType) -> FilesError {
    let path = shown(path.as_bytes());
    let kind = match kind {
        kind if kind.is_symlink() => return FilesError::Link(path),
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    FilesError::Special { path, kind: kind.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::SIGNATURE;

    fn read(folder: &Path) -> Result<Files, FilesError> {
        Files::read_folder(folder, &Bounds::default())
    }

    #[test]
    fn reads_every_file_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("assets/empty")).unwrap();
        fs::write(folder.path().join("bundle.toml"), "x").unwrap();
        fs::write(folder.path().join("assets/labels.txt"), "zero\n").unwrap();
        let files = read(folder.path()).unwrap();
        let found: Vec<_> = files.iter().map(|(path, content)| (path, &content[..])).collect();
        assert_eq!(found, [("assets/labels.txt", &b"zero\n"[..]), ("bundle.toml", b"x")]);
        assert_eq!(files.total_bytes(), 6);
    }

    #[test]
    fn refuses_entries_that_are_not_plain_files() {
        let folder = tempfile::tempdir().unwrap();
        for (make, wanted) in [
            ("ln -s /etc/passwd x", "\"x\" is a link"),
            ("ln -s . x", "\"x\" is a link"),
            ("mkfifo x", "\"x\" is a pipe"),
            ("mkdir x; touch x/.gitignore", "\"x/.gitignore\" cannot be in a bundle"),
            ("mkdir .git", "\".git\" cannot be in a bundle"),
            ("touch x X", "differ only in case"),
            ("touch \"$(printf 'x\\377')\"", "not UTF-8"),
            ("mkdir -p a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q", "17 parts"),
        ] {
            let place = tempfile::tempdir_in(folder.path()).unwrap();
            assert!(Command::new("sh").args(["-ec", make]).current_dir(place.path()).status().unwrap().success());
            let error = read(place.path()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{make}: {error}");
            assert!(!error.contains(folder.path().to_str().unwrap()), "{error}");
        }
        let missing = read(&folder.path().join("missing")).unwrap_err().to_string();
        assert!(missing.starts_with("the bundle's folder cannot be read"), "{missing}");
    }

    #[test]
    fn the_digest_equals_that_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b", "B2", "a/x", "a-b", "a b", "-n", SIGNATURE, "z/bundle.sig"] {
            let place = folder.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, path).unwrap();
        }
        let command = r"find . -type f ! -path ./bundle.sig -printf '%P\n' | LC_ALL=C sort |
            xargs -d '\n' sha256sum -- | sha256sum";
        let output = Command::new("bash").args(["-c", command]).current_dir(folder.path()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(read(folder.path()).unwrap().digest().hex(), printed.split(' ').next().unwrap());
    }
}
