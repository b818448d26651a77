//! Archives that would exhaust a machine are refused early and with little memory used. All cases are one test, because it
//! measures the memory of the whole process.

#![expect(clippy::unwrap_used, reason = "a test says what it misses by failing")]

use std::io::{self, Read};

use bulkhead_bundle::{Bounds, Files, FilesError};
use flate2::{Compress, Compression, FlushCompress};
use tar::{EntryType, Header};

const MIB: u64 = 1 << 20;

/// Counts the bytes that were read.
struct Counted<R>(R, u64);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1 += read as u64;
        Ok(read)
    }
}

fn header(path: &str, size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// An archive of ten million empty files.
fn entries() -> impl Read {
    Bytes((0..10_000_000).flat_map(|number| header(&format!("f{number}"), 0)))
}

/// A reader that generates its bytes as they are read.
struct Bytes<I>(I);

impl<I: Iterator<Item = u8>> Read for Bytes<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        for (place, byte) in buffer.iter_mut().zip(&mut self.0) {
            *place = byte;
            read += 1;
        }
        Ok(read)
    }
}

/// A gzip stream of `start` and then `gigabytes` of zeros, which compress to about a thousandth.
fn gzip_bomb(start: &[u8], gigabytes: usize) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::best(), false);
    let mut block = |content: &[u8]| {
        let mut packed = Vec::with_capacity(content.len() + 1024);
        deflate.compress_vec(content, &mut packed, FlushCompress::Full).unwrap();
        packed
    };
    let head = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &block(start)].concat();
    [head, block(&vec![0; 1 << 20]).repeat(gigabytes * 1024)].concat()
}

/// A zstd stream of blocks of one repeated byte: each has four bytes and decompresses to 128 KiB.
fn zstd_bomb(window: u8, gigabytes: usize) -> impl Read {
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0, window];
    Bytes(head.into_iter().chain([0x02, 0x00, 0x10, 0x00].into_iter().cycle().take(4 * gigabytes * 8192)))
}

/// Peak resident memory of this process, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn bombs_are_refused_early_and_within_little_memory() {
    let bounds = Bounds { unpacked_bytes: 64 * MIB, file_bytes: 32 * MIB, ..Bounds::default() };
    let full = header("full", 32 * MIB);
    let big = gzip_bomb(&header("big", 8 << 30), 8);
    let padding = gzip_bomb(&[header("empty", 0), vec![0; 1024]].concat(), 8);
    let content = gzip_bomb(&full, 8);
    let before = peak_memory();
    let archives: [(&str, Box<dyn Read>, u64, &str); 8] = [
        ("entries", Box::new(entries()), 6 * MIB, "more than 10000 files and folders"),
        ("lie", Box::new(io::Cursor::new(full)), MIB, "0 of 33554432 bytes arrived"),
        ("endless", Box::new(io::repeat(0)), 65 * MIB, "more than 67108864 bytes"),
        ("big", Box::new(&*big.leak()), MIB, "8589934592 bytes, and the bound of one file"),
        ("padding", Box::new(&*padding.leak()), MIB, "more than 67108864 bytes"),
        ("content", Box::new(&*content.leak()), MIB, "more than 67108864 bytes"),
        ("zeros", Box::new(zstd_bomb(0x68, 8)), MIB, "more than 67108864 bytes"),
        ("window", Box::new(zstd_bomb(0x70, 8)), MIB, "Frame requires too much memory"),
    ];
    for (name, archive, most, wanted) in archives {
        let mut archive = Counted(archive, 0);
        let error = Files::unpack(&mut archive, &bounds).unwrap_err();
        assert!(!matches!(error, FilesError::ArchiveTooLarge { .. }), "{name}: {error}");
        assert!(error.to_string().contains(wanted), "{name}: {error}");
        assert!(archive.1 <= most, "{name}: {} bytes were read", archive.1);
    }
    let grown = peak_memory() - before;
    assert!(grown < 100 * MIB, "{grown} bytes for archives of which 64 MiB may be unpacked");
}
