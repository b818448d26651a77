//! The file-type example compared with Magika's own program.

use std::process::Command;

use anyhow::Result;
use system_tests::{Host, prepared, repository, succeed};

#[test]
fn real_files_get_the_same_answer_as_from_magika() -> Result<()> {
    let host = Host::with_models(prepared("BULKHEAD_MODELS"))?;
    let mut compare = Command::new(prepared("BULKHEAD_PYTHON"));
    compare.arg(repository().join("examples/file-type/compare.py")).args(["--url", &host.url, "--model", "file-type"]);
    println!("{}", succeed(&mut compare)?);
    Ok(())
}
