//! The names of a component's imports, read from its sections alone: before the compile, which may take minutes.

use wasmparser::{Parser, Payload};

/// The imports of the component itself, in their order. Those of components and modules within it are its own affair.
pub(crate) fn import_names(wasm: &[u8]) -> Result<Vec<String>, wasmparser::BinaryReaderError> {
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    names.push(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}
