//! Writes archives reproducibly: the same files always give the same bytes.

use std::io::{self, Read, Write};

use super::Compression;
use crate::Files;

/// The best level that fits the 8 MiB window of every decoder and does not take minutes.
const ZSTD_LEVEL: i32 = 9;

impl Files {
    pub fn pack(&self, target: impl Write, compression: Compression) -> io::Result<()> {
        self.pack_watched(target, compression, &|_| {})
    }

    /// Packs the files, and calls `progress` with the number of bytes of each piece that was read.
    pub fn pack_watched(&self, target: impl Write, compression: Compression, progress: &dyn Fn(u64)) -> io::Result<()> {
        match compression {
            Compression::None => self.write_tar(target, progress)?.flush(),
            Compression::Gzip => {
                let gzip = flate2::GzBuilder::new().mtime(0).write(target, flate2::Compression::best());
                self.write_tar(gzip, progress)?.finish()?.flush()
            }
            Compression::Zstd => {
                let mut zstd = zstd::Encoder::new(target, ZSTD_LEVEL)?;
                zstd.include_checksum(true)?;
                self.write_tar(zstd, progress)?.finish()?.flush()
            }
        }
    }

    fn write_tar<W: Write>(&self, target: W, progress: &dyn Fn(u64)) -> io::Result<W> {
        let mut archive = tar::Builder::new(target);
        for (path, content) in self.iter() {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            archive.append_data(&mut header, path, Watched(content, progress))?;
        }
        archive.into_inner()
    }
}

struct Watched<'a>(&'a [u8], &'a dyn Fn(u64));

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        (self.1)(read as u64);
        Ok(read)
    }
}
