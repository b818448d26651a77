//! From the text of a hostile case to the bytes of its component.
//!
//! Three ways to write one, by the file in the case's folder:
//! - `core.wat`: the fields of a core module, without `(module …)` around them. `honest.wat` is added, and the whole is
//!   wrapped as a component of the world `plugin`. For misdeeds at the border between a component and the host.
//! - `component.wat`: any text, as it stands. For components that are no stage, and for what is no component.
//! - `component.wasm`: any bytes, as they stand.

use std::fs;
use std::path::Path;

use anyhow::Result;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../../wit/v0.1/plugin.wit");
const HONEST: &str = include_str!("honest.wat");

/// `None` when the case uses a component of one of the hostile crates.
pub fn component(case: &Path) -> Result<Option<Vec<u8>>> {
    let (core, text, bytes) = (case.join("core.wat"), case.join("component.wat"), case.join("component.wasm"));
    if core.exists() {
        return wrap(&fs::read_to_string(core)?).map(Some);
    }
    if text.exists() {
        return Ok(Some(wat::parse_file(text)?));
    }
    Ok(if bytes.exists() { Some(fs::read(bytes)?) } else { None })
}

fn wrap(fields: &str) -> Result<Vec<u8>> {
    // The case comes first: its imports must stand before anything that is defined.
    let mut module = wat::parse_str(format!("{fields}\n{HONEST}"))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}
