//! The names of a component's imports, read from its sections alone: before the compile, which may take minutes.

use wasmparser::{Parser, Payload};

/// Upper bound on the imports of a component. Components of real languages have some tens.
const MAX_IMPORTS: usize = 1000;

/// Upper bound on the bytes of an import's name; names of interfaces have fewer than 64.
const MAX_NAME_BYTES: usize = 256;

/// Reason why other bytes are no component.
pub(crate) const NO_PREAMBLE: &str = "it does not begin with the preamble of a component";

/// True if the bytes start with the preamble of a component: version 13 of the binary format, layer 1. (A core module has
/// layer 0.)
pub(crate) fn is_component(wasm: &[u8]) -> bool {
    wasm.starts_with(b"\0asm\x0d\x00\x01\x00")
}

/// The imports of the component itself, in their order. Those of components and modules within it are its own affair. Names
/// are bounded in number and length, and printable: they are written into errors. An error is the reason why the bytes are
/// no component.
pub(crate) fn import_names(wasm: &[u8]) -> Result<Vec<String>, String> {
    if !is_component(wasm) {
        return Err(NO_PREAMBLE.into());
    }
    let broken = |error: wasmparser::BinaryReaderError| format!("byte {} is not what must come there", error.offset());
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import.map_err(broken)?.name.name;
                    check_name(name, names.len())?;
                    names.push(name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Checks a name that comes after `before` others.
fn check_name(name: &str, before: usize) -> Result<(), String> {
    if before >= MAX_IMPORTS {
        Err(format!("it has more than {MAX_IMPORTS} imports"))
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!("the name of an import has {} bytes, and {MAX_NAME_BYTES} are allowed", name.len()))
    } else if !name.chars().all(|letter| letter.is_ascii_graphic()) {
        Err(format!("the name of its import \"{}\" has characters that no name has", name.escape_default()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with one section of imports, each of an instance of the first type.
    fn component(names: &[&str]) -> Vec<u8> {
        let number = |mut number: usize| {
            let mut bytes = Vec::new();
            while number > 127 {
                bytes.push(u8::try_from(number & 127).unwrap() | 128);
                number >>= 7;
            }
            bytes.push(u8::try_from(number).unwrap());
            bytes
        };
        let mut imports = number(names.len());
        for name in names {
            imports.extend([vec![0], number(name.len()), name.as_bytes().to_vec(), vec![5, 0]].concat());
        }
        // The type section before it has one type, an instance without exports.
        [b"\0asm\x0d\x00\x01\x00\x07\x03\x01\x42\x00\x0a".to_vec(), number(imports.len()), imports].concat()
    }

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(import_names(&component(&["wasi:io/poll@0.2.6"])).unwrap(), ["wasi:io/poll@0.2.6"]);
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for (wasm, wanted) in [
            (component(&vec!["a"; MAX_IMPORTS + 1]), "it has more than 1000 imports"),
            (component(&[&long]), "an import has 257 bytes, and 256 are allowed"),
            (component(&["a\x1b[2J"]), r#"import "a\u{1b}[2J" has characters"#),
            (b"\0asm\x01\0\0\0".to_vec(), "does not begin with the preamble"),
            (b"\0asm\x0d\0\x01\0\x0a\xff".to_vec(), "byte 10 is not what"),
        ] {
            let error = import_names(&wasm).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
