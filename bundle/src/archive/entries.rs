//! Reads the entries of a tar archive as they arrive.
//!
//! The tar crate only splits the stream into headers and contents. This module decides on raw entries which kinds are
//! allowed, so that no header takes effect before it was checked.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

use super::limited::Limited;
use super::pax::{self, unusual};
use crate::FilesError;
use crate::files_builder::Gather;
use crate::path::{PathError, shown};

const BLOCK: u64 = 512;

/// Values that preceding headers set for the next entry.
#[derive(Default)]
struct Announced {
    path: Option<Vec<u8>>,
    extended: bool,
}

/// Reads to the end of the stream, so that a decompressor verifies its checksums.
pub(super) fn read(source: impl Read, gather: &mut Gather<'_>) -> Result<(), FilesError> {
    let bound = gather.bounds.unpacked_bytes;
    let mut archive = Archive::new(Limited::new(source, bound, FilesError::TooLarge { bound }));
    let mut announced = Announced::default();
    let mut end = 0;
    for entry in archive.entries()?.raw(true) {
        let entry = entry?;
        end = entry.raw_file_position().saturating_add(entry.size().saturating_add(BLOCK - 1) / BLOCK * BLOCK);
        read_entry(entry, &mut announced, gather)?;
    }
    let rest = archive.into_inner();
    // The iteration ends at a block of zeros, or at the end of a stream that has none.
    if rest.came() <= end || announced.path.is_some() || announced.extended {
        return Err(FilesError::NoEnd);
    }
    only_zeros(rest)
}

fn read_entry(
    mut entry: Entry<'_, impl Read>,
    announced: &mut Announced,
    gather: &mut Gather<'_>,
) -> Result<(), FilesError> {
    let size = entry.size();
    match entry.header().entry_type() {
        EntryType::GNULongName => announced.long_name(size, &mut entry, gather.bounds.path_bytes),
        EntryType::XHeader => announced.extended_header(size, &mut entry),
        EntryType::XGlobalHeader => global_header(size, &mut entry, gather),
        EntryType::Regular => {
            let path = announced.take_path(&entry);
            gather.read(text(without_dot(&path))?, size, entry)
        }
        EntryType::Directory if size == 0 => {
            let path = announced.take_path(&entry);
            // `tar -C folder .` writes an entry for the folder itself first.
            if matches!(&path[..], b"./" | b".") {
                return gather.count();
            }
            let path = text(without_dot(&path))?;
            gather.folder(path.strip_suffix('/').unwrap_or(path))
        }
        kind => Err(special(&announced.take_path(&entry), kind)),
    }
}

impl Announced {
    /// GNU tar's entry for a path of more than 100 bytes.
    fn long_name(&mut self, size: u64, source: impl Read, bound: usize) -> Result<(), FilesError> {
        self.only_once(self.path.is_some())?;
        // The path may have "./" before it and a zero byte after it.
        if size > bound as u64 + 3 {
            let reason = PathError::TooLong { bytes: size, bound };
            let mut start = Vec::new();
            source.take(bound as u64).read_to_end(&mut start)?;
            return Err(FilesError::Path { path: shown(&start), reason });
        }
        let mut path = Vec::new();
        source.take(size).read_to_end(&mut path)?;
        if path.last() == Some(&0) {
            path.pop();
        }
        self.path = Some(path);
        Ok(())
    }

    fn extended_header(&mut self, size: u64, source: impl Read) -> Result<(), FilesError> {
        self.only_once(self.extended)?;
        self.extended = true;
        if let Some(path) = pax::read_path(size, source)? {
            self.only_once(self.path.is_some())?;
            self.path = Some(path);
        }
        Ok(())
    }

    fn only_once(&self, already: bool) -> Result<(), FilesError> {
        if already { Err(unusual("second extended header before one entry".into())) } else { Ok(()) }
    }

    fn take_path(&mut self, entry: &Entry<'_, impl Read>) -> Vec<u8> {
        let path = std::mem::take(self).path;
        path.unwrap_or_else(|| entry.header().path_bytes().into_owned())
    }
}

/// A global header, which `git archive` writes first. It may contain only ignored keys, such as a comment.
fn global_header(size: u64, source: impl Read, gather: &mut Gather<'_>) -> Result<(), FilesError> {
    gather.count()?;
    match pax::read_path(size, source)? {
        Some(_) => Err(unusual("global header \"path\"".into())),
        None => Ok(()),
    }
}

/// Removes the "./" that `tar -C folder .` puts before every path.
fn without_dot(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"./").unwrap_or(path)
}

fn text(path: &[u8]) -> Result<&str, FilesError> {
    std::str::from_utf8(path).map_err(|_| FilesError::Path { path: shown(path), reason: PathError::NotText })
}

fn special(path: &[u8], kind: EntryType) -> FilesError {
    let path = shown(path);
    let kind = match kind {
        EntryType::Link | EntryType::Symlink | EntryType::GNULongLink => return FilesError::Link(path),
        EntryType::Char | EntryType::Block => "a device".to_owned(),
        EntryType::Fifo => "a pipe".to_owned(),
        EntryType::GNUSparse => "a sparse file".to_owned(),
        EntryType::Directory => "a folder with content of its own".to_owned(),
        other => format!("of the kind '{}'", char::from(other.as_byte()).escape_default()),
    };
    FilesError::Special { path, kind }
}

fn only_zeros(mut rest: impl Read) -> Result<(), FilesError> {
    let mut buffer = [0; 16 << 10];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) if buffer[..read].iter().all(|byte| *byte == 0) => {}
            Ok(_) => return Err(FilesError::Trailing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
