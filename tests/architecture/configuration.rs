//! Checks that the example in the configuration's document is accepted by the host and states the actual defaults.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use system_tests::{blocks, prepared};

#[test]
fn the_documented_file_is_accepted() -> Result<()> {
    let example = blocks("configuration.md")?.into_iter().find(|block| block.language == "toml");
    let toml = example.context("no example")?.text;
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("models"))?;
    let file = folder.path().join("bulkhead.toml");
    // An error in the last key shows that everything before it was read without one.
    fs::write(&file, toml.replace("format = \"text\" ", "format = \"tixt\" "))?;
    let host = Command::new(prepared("BULKHEAD_BINARY"))
        .args(["serve", "--dev", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&host.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("log.format"), "{said}");
    Ok(())
}
