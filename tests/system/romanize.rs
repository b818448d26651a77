//! The romanize example compared with the package from which its networks come.

use std::process::Command;

use anyhow::Result;
use system_tests::{Host, prepared, repository, succeed};

#[test]
fn names_get_the_same_letters_as_from_the_package() -> Result<()> {
    let host = Host::with_models(prepared("BULKHEAD_MODELS"))?;
    let mut compare = Command::new(prepared("BULKHEAD_PYTHON_ROMANIZE"));
    compare.arg(repository().join("examples/romanize/compare.py")).args(["--url", &host.url]);
    println!("{}", succeed(&mut compare)?);
    Ok(())
}
