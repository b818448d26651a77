//! Converts the text of a hostile case into the bytes of its component.
//!
//! The file in the case's folder selects one of three ways:
//! - `core.wat`: the fields of a core module, without `(module …)` around them. `honest.wat` is added, and the result is
//!   wrapped as a component of the world `plugin`, with random numbers. For misdeeds at the interface between a component and the host.
//! - `component.wat`: the complete text of a component. For components that are not a stage, and for text that is not a
//!   component.
//! - `component.wasm`: any bytes, used unchanged.

use std::fs;
use std::path::Path;

use anyhow::Result;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../../wit/v0.1/plugin.wit");
/// A part of WASI that every plugin may import, and the world of cases that do.
const RANDOM: &str =
    "package wasi:random@0.2.6; interface insecure { get-insecure-random-bytes: func(len: u64) -> list<u8>; }";
const CULPRIT: &str = "package hostile:culprit; \
    world culprit { include bulkhead:plugin/plugin@0.1.0; import wasi:random/insecure@0.2.6; }";
const HONEST: &str = include_str!("honest.wat");

/// Returns `None` if the case uses a component of one of the hostile crates.
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
    // The fields of the case come first, because imports must precede definitions.
    let mut module = wat::parse_str(format!("{fields}\n{HONEST}"))?;
    let mut resolve = Resolve::default();
    resolve.push_str("plugin.wit", CONTRACT)?;
    resolve.push_str("random.wit", RANDOM)?;
    let package = resolve.push_str("culprit.wit", CULPRIT)?;
    let world = resolve.select_world(&[package], Some("culprit"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}
