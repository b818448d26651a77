//! Checks that every file and test that `docs/threat-model.md` cites as proof exists.

use std::fs;
use std::path::Path;

use anyhow::Result;
use system_tests::repository;

/// True if a function of this name is in a source file below the folder.
fn has_function(folder: &Path, name: &str) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let found = match path.is_dir() {
            true => file != "target" && !file.starts_with('.') && has_function(&path, name)?,
            false => file.ends_with(".rs") && fs::read_to_string(&path)?.contains(&format!("fn {name}(")),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn cited_files_and_tests_exist() -> Result<()> {
    let document = fs::read_to_string(repository().join("docs/threat-model.md"))?;
    let quoted: Vec<&str> = document.split('`').skip(1).step_by(2).collect();
    let (mut tests, mut missing) = (0, Vec::new());
    for name in quoted {
        let is_test = name.matches('_').count() > 2 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let is_file = name.ends_with(".rs") && name.contains('/');
        tests += usize::from(is_test);
        if is_test && !has_function(&repository(), name)? || is_file && !repository().join(name).is_file() {
            missing.push(name);
        }
    }
    assert!(tests > 20, "{tests}");
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}
