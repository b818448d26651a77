//! Hostile archives over HTTP: each is refused with its reason, and the host's memory does not grow with the sizes that an
//! archive claims.

use std::io::Write;

use anyhow::{Context, Result};
use system_tests::{Draft, Publisher, Start};

const MIB: u64 = 1 << 20;

/// A text that looks like a private key, and is none.
const KEY: &[u8] =
    b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";

/// A tar entry with arbitrary header fields.
fn entry(kind: u8, path: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [header.as_bytes(), content, &padding].concat()
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [&entries.concat()[..], &[0; 1024]].concat()
}

fn files(paths: &[&str]) -> Vec<u8> {
    archive(&paths.iter().map(|path| entry(b'0', path.as_bytes(), 1, b"x")).collect::<Vec<_>>())
}

fn link(kind: u8, path: &str, to: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_link_name_literal(to).unwrap();
    header.set_size(0);
    header.set_cksum();
    archive(&[header.as_bytes().to_vec()])
}

/// A gzip stream of `start` and then `block` repeated `times` times. The block is compressed once, so the stream is cheap
/// to make.
fn gzip(start: &[u8], block: &[u8], times: usize) -> Vec<u8> {
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut pack = |content: &[u8]| {
        let mut packed = Vec::with_capacity(content.len() + 1024);
        deflate.compress_vec(content, &mut packed, flate2::FlushCompress::Full).unwrap();
        packed
    };
    let head = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &pack(start)].concat();
    [head, pack(block).repeat(times)].concat()
}

/// A zstd stream of blocks of four bytes that each decompress to 128 KiB, `gigabytes` in all.
fn zstd_bomb(gigabytes: usize) -> Vec<u8> {
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x68];
    [&head[..], &[0x02, 0x00, 0x10, 0x00].repeat(gigabytes * 8192)].concat()
}

fn truncated() -> Vec<u8> {
    let mut whole = Draft::identity("acme/echo", "1.0.0").pack();
    whole.truncate(whole.len() / 2);
    whole
}

fn attacks() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let zeros = vec![0; 1 << 20];
    let many: Vec<u8> = (0..12_000).flat_map(|number| entry(b'0', format!("f{number}").as_bytes(), 0, b"")).collect();
    vec![
        ("a bomb of one file", gzip(&entry(b'0', b"big", 8 << 30, b""), &zeros, 8 * 1024), "the bound of one file"),
        (
            "a bomb of padding",
            gzip(&[entry(b'0', b"e", 0, b""), vec![0; 1024]].concat(), &zeros, 8 * 1024),
            "more than",
        ),
        ("a bomb of zstd", zstd_bomb(8), "more than"),
        ("ten million entries", gzip(b"", &many, 850), "more than 10000 files"),
        ("a size that lies", entry(b'0', b"lie", 60 * MIB, b"short"), "5"),
        ("a size beyond all", entry(b'0', b"lie", 1 << 62, b""), "the bound of one file"),
        ("a private key", archive(&[entry(b'0', b"notes.txt", KEY.len() as u64, KEY)]), "has a private key in it"),
        ("cut off", truncated(), "cut off"),
        ("a symbolic link", link(b'2', "x", "/etc/passwd"), "is a link"),
        ("a hard link", link(b'1', "x", "bundle.toml"), "is a link"),
        ("a device", archive(&[entry(b'3', b"x", 0, b"")]), "plain files only"),
        ("a pipe", archive(&[entry(b'6', b"x", 0, b"")]), "plain files only"),
        ("a path that climbs", files(&["../x"]), "cannot be in a bundle"),
        ("a path that climbs within", files(&["a/../../x"]), "cannot be in a bundle"),
        ("a path from the root", files(&["/etc/passwd"]), "cannot be in a bundle"),
        ("a path of Windows", files(&["a\\..\\x"]), "cannot be in a bundle"),
        ("a drive", files(&["C:x"]), "cannot be in a bundle"),
        ("a path without end", files(&[&"a/".repeat(40)[..79]]), "cannot be in a bundle"),
        ("a name that turns around", files(&["a\u{202e}mlot.exe"]), "cannot be in a bundle"),
        ("a name with nothing in it", files(&["a\u{200b}b"]), "cannot be in a bundle"),
        ("a name in two forms", files(&["e\u{301}"]), "cannot be in a bundle"),
        ("a name that is no text", archive(&[entry(b'0', b"a\xff", 1, b"x")]), "cannot be in a bundle"),
        ("a name with a line", files(&["a\nb"]), "cannot be in a bundle"),
        ("names that differ in case", files(&["readme", "README"]), "differ only in case"),
        ("folders that differ in case", files(&["a/x", "A/y"]), "differ only in case"),
        ("the same name twice", files(&["x", "x"]), "appears twice"),
        ("a file that is a folder", files(&["x", "x/y"]), "is a file, and a folder"),
    ]
}

#[test]
fn attackers_archives_are_refused_within_little_memory() -> Result<()> {
    let host = Start::default().config("[bundles]\nunpacked-bytes = '64 MiB'\n").start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    let before = host.peak_memory()?;
    let mut wrong = Vec::new();
    for (name, archive, part) in attacks() {
        let reply = host.upload(&host.token, "", &archive).with_context(|| name.to_owned())?;
        if let Err(error) = reply.refused(400, "malformed_archive", &[part]) {
            wrong.push(format!("{name}: {error}"));
        }
        assert!(host.files_of("staging")?.is_empty(), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let grown = host.peak_memory()? - before;
    println!("{} MiB more for archives of which 64 MiB may be unpacked", grown >> 20);
    assert!(grown < 160 * MIB, "{grown} bytes more for archives of which 64 MiB may be unpacked");
    assert_eq!(host.files_of("blobs")?.len(), 3);
    host.version("", "echo").map(drop)
}

#[test]
fn archives_beyond_the_bound_are_not_received() -> Result<()> {
    let host = Start::default().config("[bundles]\nupload-bytes = '1 MiB'\nupload-time = '1s'\n").start()?;
    let large = vec![0; 2 << 20];
    host.upload(&host.token, "", &large)?.refused(413, "request_too_large", &["1.0 MiB", "bundles.upload-bytes"])?;
    // An upload that stalls is ended after `bundles.upload-time`.
    let mut stream = std::net::TcpStream::connect(host.admin_url.trim_start_matches("http://"))?;
    let token = &host.token;
    write!(
        stream,
        "POST /v1/bundles HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 1000\r\n\r\nx"
    )?;
    let mut reply = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut reply)?;
    assert_eq!(&reply, b"HTTP/1.1 408");
    assert!(host.files_of("staging")?.is_empty());
    Ok(())
}
