//! The configuration's document is a file that the host accepts, with the defaults that it has.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use system_tests::{prepared, repository};

#[test]
fn the_documented_file_is_accepted() -> Result<()> {
    let document = fs::read_to_string(repository().join("docs/configuration.md"))?;
    let toml = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).context("no example")?;
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("models"))?;
    let file = folder.path().join("bulkhead.toml");
    // A mistake in the last key shows that everything before it was read without one.
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
