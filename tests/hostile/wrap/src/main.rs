//! `hostile-wrap CASES OUT`: builds `OUT/NAME/component.wasm` for each case in the folder CASES that is written as text.

use std::path::Path;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [cases, out] = &arguments[..] else { bail!("usage: hostile-wrap CASES OUT") };
    for entry in std::fs::read_dir(cases).with_context(|| format!("{}", cases.display()))? {
        let case = entry?.path();
        let Some(component) = hostile_wrap::component(&case).with_context(|| format!("{}", case.display()))? else {
            continue;
        };
        let folder = Path::new(out).join(case.file_name().unwrap_or_default());
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("component.wasm"), component)?;
    }
    Ok(())
}
