//! The contract is frozen: a change of its file must change the digest in its changelog too.

use std::fs;

use anyhow::Result;
use bulkhead_bundle::Digest;
use system_tests::repository;

#[test]
fn a_frozen_file_changes_only_with_its_changelog() -> Result<()> {
    let changelog = fs::read_to_string(repository().join("wit/CHANGELOG.md"))?;
    let mut files = 0;
    for version in fs::read_dir(repository().join("wit"))? {
        let version = version?.path();
        if !version.is_dir() {
            continue;
        }
        for file in fs::read_dir(&version)? {
            let file = file?.path();
            let digest = Digest::of(fs::read(&file)?).hex();
            let path = file.strip_prefix(repository().join("wit"))?.display().to_string();
            let line = format!("`{path}` sha256 `{digest}`");
            assert!(
                changelog.contains(&line),
                "wit/{path} changed: tell in wit/CHANGELOG.md why, with the line\n{line}"
            );
            files += 1;
        }
    }
    assert!(files >= 1);
    Ok(())
}

/// Every item of the contract is documented, because plugin authors see nothing else of the host.
#[test]
fn every_item_is_documented() -> Result<()> {
    let text = fs::read_to_string(repository().join("wit/v0.1/plugin.wit"))?;
    let mut before = "";
    for line in text.lines().map(str::trim) {
        let item = ["interface ", "resource ", "record ", "variant ", "enum ", "world "]
            .iter()
            .any(|word| line.starts_with(word));
        assert!(!item || before.starts_with("///"), "not documented: {line}");
        before = line;
    }
    Ok(())
}
