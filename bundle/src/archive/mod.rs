//! Bundles as one file: a tar archive, uncompressed or compressed.

mod entries;
mod limited;
mod pack;
mod pax;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::files_builder::Gather;
use crate::path::shown;
use crate::{Bounds, Files, FilesError};
use limited::Limited;

/// Window of 8 MiB, which the zstd standard requires of every decoder and which `zstd -19` needs.
const ZSTD_WINDOW_LOG: u32 = 23;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Kinds of files that are taken for archives, by their first bytes. A tar begins with a path, and no path has such bytes.
const OTHER_KINDS: [(&[u8], &str); 3] = [
    (b"\0asm", "it is a WebAssembly file; give the bundle's folder, with this file and bundle.toml in it"),
    (b"PK\x03\x04", "it is a zip"),
    (b"\xfd7zX", "it is packed with xz"),
];

/// Compression of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The compression that the extension of an archive's name indicates: .tar, .tar.gz, .tgz or .tar.zst.
    pub fn of_name(name: &str) -> Option<Compression> {
        let endings = [
            (".tar", Compression::None),
            (".tar.gz", Compression::Gzip),
            (".tgz", Compression::Gzip),
            (".tar.zst", Compression::Zstd),
        ];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, compression)| compression)
    }

    fn of_content(start: &[u8]) -> Compression {
        match start {
            _ if start.starts_with(&GZIP_MAGIC) => Compression::Gzip,
            _ if start.starts_with(&ZSTD_MAGIC) => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

impl Files {
    /// Reads a tar archive, whose compression is detected from its first bytes. An archive with entries other than plain
    /// files and folders, or beyond a bound, is refused early and with little memory used.
    pub fn unpack(source: impl Read, bounds: &Bounds) -> Result<Files, FilesError> {
        let bound = bounds.archive_bytes;
        let mut source = Limited::new(source, bound, FilesError::ArchiveTooLarge { bound });
        let mut start = Vec::new();
        source.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut start)?;
        if let Some((_, kind)) = OTHER_KINDS.iter().find(|(begin, _)| start.starts_with(begin)) {
            return Err(FilesError::Archive((*kind).to_owned()));
        }
        let compression = Compression::of_content(&start);
        let mut packed = BufReader::new(io::Cursor::new(start).chain(source));
        let mut gather = Gather::new(bounds);
        match compression {
            Compression::None => entries::read(&mut packed, &mut gather).map_err(without_details)?,
            Compression::Gzip => entries::read(GzDecoder::new(&mut packed), &mut gather)?,
            Compression::Zstd => entries::read(zstd_decoder(&mut packed)?, &mut gather)?,
        }
        if packed.fill_buf()?.is_empty() { Ok(gather.finish()) } else { Err(FilesError::Trailing) }
    }
}

/// Says of bytes that are not a tar only that. The library quotes what it took for a field of a header.
fn without_details(error: FilesError) -> FilesError {
    match error {
        FilesError::Archive(text) if text.contains(" when getting ") => {
            FilesError::Archive("it has no header where a tar has one".to_owned())
        }
        error => error,
    }
}

fn zstd_decoder<R: BufRead>(packed: R) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(packed)?.single_frame();
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

/// Recovers a [`FilesError`] that a bounded reader wrapped in its I/O error.
impl From<io::Error> for FilesError {
    fn from(error: io::Error) -> FilesError {
        match error.downcast::<FilesError>() {
            Ok(ours) => ours,
            Err(error) => FilesError::Archive(shown(error.to_string().as_bytes())),
        }
    }
}
