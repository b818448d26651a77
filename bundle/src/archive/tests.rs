//! Valid archives of several programs, and hostile ones of every kind.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use tar::{EntryType, Header};

use super::*;

/// An entry with arbitrary header fields.
fn entry(kind: u8, path: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path);
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [header.as_bytes(), content, &padding].concat()
}

fn file(path: &str, content: &str) -> Vec<u8> {
    entry(b'0', path.as_bytes(), content.len() as u64, content.as_bytes())
}

fn extended(kind: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = String::new();
    for (key, value) in records {
        let length = key.len() + value.len() + 3;
        let digits = (length + 2).to_string().len();
        content += &format!("{} {key}={value}\n", length + digits);
    }
    entry(kind, b"PaxHeaders/x", content.len() as u64, content.as_bytes())
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [&entries.concat()[..], &[0; 1024]].concat()
}

fn unpack(archive: &[u8]) -> Result<Files, FilesError> {
    Files::unpack(archive, &Bounds::default())
}

fn refusal(archive: &[u8]) -> String {
    unpack(archive).unwrap_err().to_string()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

fn some_files() -> Files {
    let long = format!("{}/{}.txt", "folder".repeat(15), "name".repeat(20));
    let parts = [("bundle.toml", "x"), ("assets/empty", ""), ("bundle.sig", "{}"), (&long, "long")];
    let parts = parts.map(|(path, text)| (path.to_owned(), Bytes::from(text.to_owned())));
    Files::from_parts(parts.into(), &Bounds::default()).unwrap()
}

#[test]
fn packing_is_reproducible_and_unpacking_restores_the_files() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        some_files().pack(&mut once, compression).unwrap();
        let files = unpack(&once).unwrap();
        assert_eq!(files, some_files());
        files.pack(&mut twice, compression).unwrap();
        assert_eq!(once, twice);
        assert_eq!(Compression::of_content(&once), compression);
    }
}

#[test]
fn packing_reports_its_progress() {
    let packed = std::cell::Cell::new(0);
    some_files().pack_watched(io::sink(), Compression::Zstd, &|bytes| packed.set(packed.get() + bytes)).unwrap();
    assert_eq!(packed.get(), some_files().total_bytes());
}

#[test]
fn the_name_of_an_archive_says_how_it_is_compressed() {
    assert_eq!(Compression::of_name("a/digits-1.2.0.tar"), Some(Compression::None));
    assert_eq!(Compression::of_name("x.tar.gz"), Some(Compression::Gzip));
    assert_eq!(Compression::of_name("x.tgz"), Some(Compression::Gzip));
    assert_eq!(Compression::of_name("x.tar.zst"), Some(Compression::Zstd));
    assert_eq!(Compression::of_name("x.zip"), None);
}

/// Every format that the `tar` program can write, with and without the folder's prefix in the paths.
#[test]
fn the_archives_of_tar_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in some_files().iter() {
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, content).unwrap();
    }
    for options in ["--format=gnu .", "--format=ustar .", "--format=pax .", "--format=pax -z .", "--format=gnu -z *"] {
        let archive = run_tar(folder.path(), options);
        assert_eq!(unpack(&archive).unwrap_or_else(|error| panic!("{options}: {error}")), some_files(), "{options}");
    }
    std::fs::remove_dir_all(folder.path().join("folder".repeat(15))).unwrap();
    assert_eq!(unpack(&run_tar(folder.path(), "--format=v7 .")).unwrap().0.len(), 3);
}

#[test]
fn sparse_archives_of_tar_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 20).unwrap();
    for (format, wanted) in [("gnu", "\"./hole\" is a sparse file"), ("pax", "\"GNU.sparse.")] {
        let error = refusal(&run_tar(folder.path(), &format!("--sparse --format={format} .")));
        assert!(error.contains(wanted), "{error}");
    }
}

fn run_tar(folder: &Path, options: &str) -> Vec<u8> {
    let command = format!("tar -cf - {options}");
    let output = Command::new("sh").args(["-c", &command]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn entries_that_are_not_plain_files_are_refused() {
    for (kind, wanted) in [
        (b'1', "\"x\" is a link"),
        (b'2', "\"x\" is a link"),
        (b'K', "\"x\" is a link"),
        (b'3', "\"x\" is a device"),
        (b'4', "\"x\" is a device"),
        (b'6', "\"x\" is a pipe"),
        (b'S', "\"x\" is a sparse file"),
        (b'7', "of the kind '7'"),
        (b'V', "of the kind 'V'"),
    ] {
        let error = refusal(&archive(&[entry(kind, b"x", 0, b"")]));
        assert!(error.contains(wanted), "{error}");
    }
    let error = refusal(&archive(&[entry(b'5', b"x/", 3, b"abc")]));
    assert!(error.contains("a folder with content of its own"), "{error}");
}

#[test]
fn odd_paths_are_refused_and_shown_harmless() {
    for (path, wanted) in [
        (&b"/etc/passwd"[..], "it is absolute"),
        (b"../x", "leads out"),
        (b"a/../../x", "leads out"),
        (b"././x", "a part \".\""),
        (b"x/", "an empty part"),
        (b"", "empty"),
        (b"./", "empty"),
        (b"x\xff", "\"x\\u{fffd}\" cannot be in a bundle: it is not UTF-8"),
        (b"x\x1b[2J", "\"x\\u{1b}[2J\" cannot be in a bundle: the character '\\u{1b}'"),
        ("x\u{202e}gpj.exe".as_bytes(), "the character '\\u{202e}'"),
        ("cafe\u{301}".as_bytes(), "form C; it would be \"caf\u{e9}\""),
        ("a\u{200b}".as_bytes(), "the character '\\u{200b}'"),
        (b"a\\b", "the character '\\\\'"),
        (b".git/config", "version control"),
    ] {
        let error = refusal(&archive(&[entry(b'0', path, 0, b"")]));
        assert!(error.contains(wanted), "{error}");
    }
    for path in [&b"../"[..], b"/", b"a/../", b".git/"] {
        assert!(matches!(unpack(&archive(&[entry(b'5', path, 0, b"")])), Err(FilesError::Path { .. })));
    }
}

#[test]
fn names_that_collide_are_refused() {
    for (entries, wanted) in [
        (vec![file("a", "1"), file("a", "2")], "\"a\" appears twice"),
        (vec![file("a", "1"), file("./a", "2")], "\"a\" appears twice"),
        (vec![file("a", "1"), file("A", "2")], "\"A\" and \"a\" differ only in case"),
        (vec![file("x/a", "1"), file("X/b", "2")], "\"X\" and \"x\" differ only in case"),
        (vec![file("\u{c4}", "1"), file("\u{e4}", "2")], "differ only in case, or in variants of letters"),
        (vec![file("stra\u{df}e/x", "1"), file("strasse/y", "2")], "differ only in case, or in variants"),
        (vec![file("\u{ff41}", "1"), file("a", "2")], "differ only in case, or in variants"),
        (vec![file("a", "1"), file("a/b", "2")], "\"a\" is a file, and a folder"),
        (vec![file("a/b", "1"), file("a", "2")], "\"a\" is a file, and a folder"),
        (vec![file("a", "1"), entry(b'5', b"a/", 0, b"")], "\"a\" is a file, and a folder"),
    ] {
        let error = refusal(&archive(&entries));
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn extended_headers_may_name_and_date_but_nothing_else() {
    let dated = extended(b'x', &[("mtime", "1.5"), ("path", "./long name"), ("SCHILY.xattr.user.a", "b")]);
    let remark = extended(b'g', &[("comment", "a commit")]);
    let files = unpack(&archive(&[remark, dated, file("x", "1")])).unwrap();
    assert_eq!(files.get("long name").unwrap(), "1");

    let path = |path| extended(b'x', &[("path", path)]);
    let long = |path: &[u8]| entry(b'L', b"././@LongLink", path.len() as u64, path);
    for (before, wanted) in [
        (vec![extended(b'x', &[("size", "0")])], "extended header \"size\" is not accepted"),
        (vec![extended(b'x', &[("GNU.sparse.major", "1")])], "\"GNU.sparse.major\""),
        (vec![extended(b'x', &[("linkpath", "/etc")])], "\"linkpath\""),
        (vec![extended(b'x', &[("hdrcharset", "BINARY")])], "\"hdrcharset\""),
        (vec![extended(b'x', &[("path", "a"), ("path", "b")])], "\"path\""),
        (vec![extended(b'g', &[("path", "a")])], "global header \"path\""),
        (vec![path("../x")], "leads out"),
        (vec![path("a"), path("b")], "second extended header"),
        (vec![path("a"), long(b"b\0")], "second extended header"),
        (vec![long(b"a\0"), path("b")], "second extended header"),
        (vec![long(b"a\0"), long(b"b\0")], "second extended header"),
        (vec![long(b"../x\0")], "leads out"),
        (vec![long(b"a\0b\0")], "'\\u{0}'"),
        (vec![long(&[b'a'; 300])], "300 bytes, and the bound is 255"),
        (vec![entry(b'L', b"././@LongLink", 8 << 30, b"")], "8589934592 bytes, and the bound is 255"),
        (vec![entry(b'x', b"x", 8 << 30, b"")], "extended header of 8589934592 bytes"),
        (vec![entry(b'x', b"x", 4, b"9 a=")], "malformed"),
    ] {
        let error = refusal(&archive(&[before.concat(), file("x", "1")]));
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    for dangling in [path("a"), long(b"a\0")] {
        assert!(matches!(unpack(&archive(&[dangling])), Err(FilesError::NoEnd)));
    }
}

#[test]
fn headers_that_lie_about_sizes_are_refused() {
    for (announced, wanted) in [
        (8 << 30, "has 8589934592 bytes, and the bound of one file is 1073741824"),
        (u64::MAX >> 1, "the bound of one file"),
        (1 << 30, "\"x\" is cut off: 1027 of 1073741824 bytes arrived"),
        (4, "cannot be read as an archive"),
    ] {
        let error = refusal(&[entry(b'0', b"x", announced, b"abc"), vec![1; 3], vec![0; 512]].concat());
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused() {
    let whole = archive(&[file("a", "1"), extended(b'x', &[("mtime", "1.5")]), file("b", "2")]);
    // POSIX asks for two blocks of zeros as the end mark. One is enough here, as for other readers of tar: the files and
    // their digest are the same.
    assert_eq!(unpack(&whole[..whole.len() - 512]).unwrap().digest(), unpack(&whole).unwrap().digest());
    for length in 0..whole.len() - 1023 {
        assert!(unpack(&whole[..length]).is_err(), "{length}");
    }
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut packed = Vec::new();
        some_files().pack(&mut packed, compression).unwrap();
        for length in 0..packed.len() {
            assert!(unpack(&packed[..length]).is_err(), "{compression:?} {length}");
        }
    }
}

#[test]
fn data_after_the_end_mark_is_refused() {
    let plain = archive(&[file("a", "1")]);
    assert!(unpack(&[&plain[..], &[0; 9000]].concat()).is_ok());
    let hidden = [&plain[..], &file("b", "2")].concat();
    let mut zstd = Vec::new();
    some_files().pack(&mut zstd, Compression::Zstd).unwrap();
    for trailing in [
        hidden.clone(),
        [&plain[..], b"x"].concat(),
        gzip(&hidden),
        [gzip(&plain), gzip(&plain)].concat(),
        [gzip(&plain), vec![0]].concat(),
        [&zstd[..], &zstd].concat(),
        [&zstd[..], b"x"].concat(),
    ] {
        assert!(matches!(unpack(&trailing), Err(FilesError::Trailing)));
    }
}

#[test]
fn data_that_is_not_an_archive_is_refused() {
    for content in [&b"PK\x03\x04"[..], b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"bundle.toml", &[7; 4096], b""] {
        assert!(matches!(unpack(content), Err(FilesError::Archive(_) | FilesError::NoEnd)), "{content:?}");
    }
    for (content, wanted) in [
        (&b"\0asm\x0d\0\x01\0"[..], "it is a WebAssembly file; give the bundle's folder"),
        (b"PK\x03\x04", "it is a zip"),
        (&[b'x'; 4096], "it has no header where a tar has one"),
    ] {
        let told = refusal(content);
        assert!(told.contains(wanted), "{told}");
    }
    let mut corrupt = gzip(&archive(&[file("a", "1")]));
    let end = corrupt.len() - 8;
    corrupt[end] ^= 1;
    assert!(matches!(unpack(&corrupt), Err(FilesError::Archive(_))));
    let inner = gzip(&archive(&[file("a", "1")]));
    let nested = archive(&[entry(b'0', b"inner.tar.gz", inner.len() as u64, &inner)]);
    assert_eq!(unpack(&nested).unwrap().get("inner.tar.gz").unwrap(), &inner);
}

#[test]
fn every_bound_holds() {
    let bounds = Bounds { archive_bytes: 4096, unpacked_bytes: 3072, files: 2, file_bytes: 600, ..Bounds::default() };
    let folder = || entry(b'5', b"d/", 0, b"");
    for (archive, wanted) in [
        (archive(&[file("a", ""), file("b", ""), file("c", "")]), "more than 2 files and folders"),
        (archive(&[folder(), folder(), file("c", "")]), "more than 2 files and folders"),
        (archive(&[extended(b'g', &[]), extended(b'g', &[]), file("c", "")]), "more than 2 files and folders"),
        (archive(&[file("a", &"x".repeat(601))]), "has 601 bytes, and the bound of one file is 600"),
        (archive(&[file("a", &"x".repeat(600)), file("b", &"x".repeat(600))]), "more than 3072 bytes"),
        (gzip(&[archive(&[file("a", "")]), vec![0; 4096]].concat()), "more than 3072 bytes"),
        ([0; 4000].to_vec(), "more than 3072 bytes"),
    ] {
        let error = Files::unpack(&archive[..], &bounds).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let bounds = Bounds { archive_bytes: 1000, ..Bounds::default() };
    let error = Files::unpack(&archive(&[file("a", "")])[..], &bounds).unwrap_err().to_string();
    assert_eq!(error, "the archive has more than 1000 bytes");
}
