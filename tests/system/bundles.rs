//! The publisher's commands: make a key, sign, pack, verify and inspect. They need no running host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use anyhow::Result;
use serde_json::Value;
use system_tests::{identity, prepared};
use tempfile::TempDir;

/// A folder with a bundle in `digits`, signed with a key in the same folder.
fn signed() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("digits"))?;
    fs::write(folder.path().join("digits/bundle.toml"), identity("digits", "FP32", &[-1]))?;
    // A component without anything in it: of these commands, none looks further.
    fs::write(folder.path().join("digits/identity.wasm"), b"\0asm\x0d\0\x01\0")?;
    succeeds(&folder, "key new acme")?;
    succeeds(&folder, "bundle sign digits --key acme.pem")?;
    Ok(folder)
}

fn run(folder: &TempDir, command: &str) -> Result<Output> {
    let mut program = Command::new(prepared("BULKHEAD_BINARY"));
    Ok(program.args(command.split(' ')).current_dir(folder.path()).output()?)
}

#[track_caller]
fn succeeds(folder: &TempDir, command: &str) -> Result<String> {
    let output = run(folder, command)?;
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[track_caller]
fn fails(folder: &TempDir, command: &str, code: i32, wanted: &str) -> Result<()> {
    let output = run(folder, command)?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command}: {error}");
    assert!(error.contains(wanted), "{command}: {error}");
    Ok(())
}

#[test]
fn what_was_signed_is_verified_in_its_folder_and_in_every_archive() -> Result<()> {
    let folder = signed()?;
    succeeds(&folder, "bundle verify digits --key acme.pub")?;
    for archive in ["x.tar", "x.tar.gz", "x.tgz", "x.tar.zst"] {
        succeeds(&folder, &format!("bundle pack digits -o {archive}"))?;
        let outcome = succeeds(&folder, &format!("bundle verify {archive} --key acme.pub --json"))?;
        let outcome: Value = serde_json::from_str(&outcome)?;
        assert_eq!((&outcome["verified"], &outcome["files"]), (&true.into(), &2.into()), "{outcome}");
    }
    Ok(())
}

#[test]
fn what_is_in_a_bundle_is_shown_without_trusting_it() -> Result<()> {
    let folder = signed()?;
    succeeds(&folder, "bundle pack digits -o x.tar.zst")?;
    let shown: Value = serde_json::from_str(&succeeds(&folder, "bundle inspect x.tar.zst --json")?)?;
    let verified = succeeds(&folder, "bundle verify x.tar.zst --key acme.pub --json")?;
    let verified: Value = serde_json::from_str(&verified)?;
    assert_eq!(shown["name"], "test/digits");
    assert_eq!(shown["digest"], verified["digest"]);
    assert_eq!(shown["signed_by_unverified"], verified["key"]);
    assert_eq!(shown["stages"][0], "identity");
    assert_eq!(shown["plugins"][0]["component"], "identity.wasm");
    assert_eq!(shown["files"].as_array().map(Vec::len), Some(3));
    fs::remove_file(folder.path().join("digits/bundle.sig"))?;
    let text = succeeds(&folder, "bundle inspect digits")?;
    assert!(text.contains("signed by    the bundle is not signed") && text.contains("asks for nothing"), "{text}");
    Ok(())
}

#[test]
fn impossible_commands_are_refused_with_a_reason() -> Result<()> {
    let folder = signed()?;
    let mode = fs::metadata(folder.path().join("acme.pem"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (command, code, wanted) in [
        ("key new acme", 1, "acme.pem already exists"),
        ("bundle pack digits -o x.zip", 2, "its name must end with .tar"),
        ("bundle pack digits -o digits/x.tar", 1, "write the archive outside of the bundle"),
        ("bundle pack missing -o x.tar", 1, "there is no folder missing"),
        ("bundle sign acme.pub --key acme.pem", 1, "acme.pub is a file; a bundle is signed and packed from its folder"),
        ("bundle sign digits --key acme.pub", 1, "the private key is needed here"),
        ("bundle verify digits --key acme.pem", 1, "never give a private key away"),
        ("bundle verify digits", 2, "--key"),
        ("bundle verify acme.pub --key acme.pub", 1, "cannot be read as an archive"),
        ("bundle verify missing --key acme.pub", 1, "missing: No such file"),
    ] {
        fails(&folder, command, code, wanted)?;
    }
    fs::copy(folder.path().join("acme.pem"), folder.path().join("digits/notes.txt"))?;
    for command in ["bundle sign digits --key acme.pem", "bundle pack digits -o x.tar"] {
        fails(&folder, command, 1, "\"notes.txt\" has a private key in it")?;
    }
    fs::remove_file(folder.path().join("digits/notes.txt"))?;
    succeeds(&folder, "key new stranger --curve p384")?;
    fails(&folder, "bundle verify digits --key stranger.pub", 1, "stranger.pub is the key ")?;
    fs::write(folder.path().join("digits/identity.wasm"), "other")?;
    fails(&folder, "bundle verify digits --key acme.pub", 1, "changed after the bundle was signed: \"identity.wasm\"")?;
    let signed = run(&folder, "bundle sign digits --key stranger.pem")?;
    let warned = String::from_utf8_lossy(&signed.stderr);
    assert!(warned.contains("plugin \"identity\" will be refused: this is not a WebAssembly component"), "{warned}");
    succeeds(&folder, "bundle inspect digits")?;
    succeeds(&folder, "bundle pack digits -o other.tar")?;
    fs::remove_file(folder.path().join("digits/identity.wasm"))?;
    fails(&folder, "bundle pack digits -o x.tar", 1, "names the file identity.wasm, which is not in the bundle")?;
    Ok(())
}

/// Every command prints one JSON value with `--json`, when it fails, too.
#[test]
fn local_commands_speak_json() -> Result<()> {
    let folder = signed()?;
    for (command, field) in [
        ("key new other", "public"),
        ("bundle sign digits --key acme.pem", "digest"),
        ("bundle pack digits -o x.tar", "archive"),
        ("bundle inspect digits", "plugins"),
        ("bundle verify digits --key acme.pub", "verified"),
    ] {
        let outcome: Value = serde_json::from_str(&succeeds(&folder, &format!("{command} --json"))?)?;
        assert!(!outcome[field].is_null(), "{command}: {outcome}");
    }
    for (command, field, wanted) in [
        ("key new other", "code", "command_failed"),
        ("bundle sign nowhere --key acme.pem", "error", "there is no folder nowhere"),
        ("bundle verify digits --key other.pub", "error", "it is signed with the key "),
        ("bundle push digits --token x --to 127.0.0.1:1", "error", "nothing listens at"),
    ] {
        let output = run(&folder, &format!("{command} --json"))?;
        let outcome: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(output.status.code(), Some(1), "{command}: {outcome}");
        assert!(outcome[field].as_str().is_some_and(|text| text.contains(wanted)), "{command}: {outcome}");
    }
    Ok(())
}

#[test]
fn imports_that_a_host_refuses_are_shown_before_any_upload() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("bundle");
    fs::create_dir(&place)?;
    for file in fs::read_dir(prepared("BULKHEAD_HOSTILE").join("not-granted"))? {
        let file = file?;
        fs::copy(file.path(), place.join(file.file_name()))?;
    }
    let text = succeeds(&folder, "bundle inspect bundle")?;
    assert!(text.contains("a host will refuse it: it imports bulkhead:plugin/logging@0.1.0"), "{text}");
    succeeds(&folder, "key new acme")?;
    let signed = run(&folder, "bundle sign bundle --key acme.pem")?;
    let warned = String::from_utf8(signed.stderr)?;
    assert!(signed.status.success() && warned.contains("will be refused: it imports"), "{warned}");
    Ok(())
}

#[test]
fn signing_warns_of_files_that_no_bundle_needs() -> Result<()> {
    let folder = signed()?;
    let silent = run(&folder, "bundle sign digits --key acme.pem")?;
    assert_eq!(String::from_utf8_lossy(&silent.stderr), "");
    for path in [".env", "target/release/x.d", "target/y", "src/lib.rs", "src/deep/mod.rs", "Cargo.toml"] {
        let place = folder.path().join("digits").join(path);
        fs::create_dir_all(place.parent().unwrap_or(&place))?;
        fs::write(place, "x")?;
    }
    let output = run(&folder, "bundle sign digits --key acme.pem")?;
    assert!(output.status.success());
    let warned = String::from_utf8(output.stderr)?;
    for wanted in [
        "\".env\" may hold secrets;",
        "\"target/release/x.d\" is what a build leaves (and 1 file more)",
        "\"Cargo.toml\" is a source (and 2 files more)",
    ] {
        assert!(warned.contains(wanted), "{warned}");
    }
    assert_eq!(warned.lines().count(), 3, "{warned}");
    Ok(())
}
