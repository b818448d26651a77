//! Dependencies between the host's modules point to lower layers only, and each large external dependency has one owner.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use system_tests::repository;

/// The layers, lowest first: a module may use the modules before it.
const LAYERS: [&str; 23] = [
    "numbers",
    "tensor",
    "config",
    "tenant",
    "telemetry",
    "cache",
    "worker",
    "runtime",
    "sandbox",
    "scheduler",
    "pipeline",
    "codec",
    "catalog",
    "activation",
    "control",
    "error",
    "inference",
    "http",
    "openapi",
    "protocol",
    "admin",
    "host",
    "cli",
];

/// External dependencies, each with the only modules that may name it.
const OWNERS: [(&str, &[&str]); 23] = [
    ("wasmparser", &["sandbox"]),
    ("wasmtime", &["sandbox"]),
    ("wasmtime_wasi", &["sandbox"]),
    ("wasmtime_wizer", &["sandbox"]),
    ("tract_onnx", &["runtime"]),
    ("tract_onnx_opl", &["runtime"]),
    ("axum", &["error", "inference", "http", "openapi", "protocol", "admin"]),
    ("hyper", &["http", "protocol"]),
    ("tonic", &["error", "protocol"]),
    ("prost", &["codec", "protocol"]),
    ("rustls", &["http"]),
    ("tokio_rustls", &["http"]),
    ("prometheus", &["telemetry"]),
    ("clap", &["cli"]),
    ("ureq", &["cli"]),
    ("hyper_util", &["http"]),
    ("tower", &["http"]),
    ("tower_http", &["http"]),
    ("utoipa", &["error", "openapi", "protocol", "admin"]),
    ("rustix", &["worker", "runtime", "sandbox", "http"]),
    ("landlock", &["worker"]),
    ("seccompiler", &["worker"]),
    ("libc", &["worker"]),
];

/// Folders that are beside each other, each with the folders that it must not use. The files above them join them.
const APART: [(&str, &[&str]); 3] =
    [("protocol/oip", &["tfserving"]), ("protocol/tfserving", &["oip"]), ("protocol/grpc", &["oip", "tfserving"])];

fn sources() -> Result<Vec<(usize, PathBuf, String)>> {
    let root = repository().join("host/src");
    let mut sources = Vec::new();
    for (layer, module) in LAYERS.iter().enumerate() {
        let (file, folder) = (root.join(module).with_extension("rs"), root.join(module));
        let files = if file.is_file() { vec![file] } else { rust_files(&folder)? };
        assert!(!files.is_empty(), "{module} is gone: update the list of layers");
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            sources.push((layer, file, text));
        }
    }
    Ok(sources)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[test]
fn arrows_point_down_only() -> Result<()> {
    let mut wrong = Vec::new();
    for (layer, file, text) in sources()? {
        for used in text.split("crate::").skip(1) {
            let module: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let used = LAYERS.iter().position(|known| *known == module);
            if used.is_some_and(|used| used > layer) {
                wrong.push(format!("{} uses {module}, which lies above it", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn folders_that_are_apart_do_not_use_each_other() -> Result<()> {
    let mut wrong = Vec::new();
    for (folder, others) in APART {
        let files = rust_files(&repository().join("host/src").join(folder))?;
        assert!(!files.is_empty(), "{folder} is gone: update the list of folders");
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let paths = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            let used: Vec<&str> =
                paths.flat_map(|path| path.split("::")).filter(|part| others.contains(part)).collect();
            if !used.is_empty() {
                wrong.push(format!("{} uses {used:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn each_big_dependency_has_one_home() -> Result<()> {
    let mut wrong = Vec::new();
    for (layer, file, text) in sources()? {
        for (dependency, owners) in OWNERS {
            let named = text.contains(&format!("use {dependency}::")) || text.contains(&format!(" {dependency}::"));
            if named && !owners.contains(&LAYERS[layer]) {
                wrong.push(format!("{} names {dependency}, which belongs to {owners:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_module_is_in_the_list() -> Result<()> {
    let library = fs::read_to_string(repository().join("host/src/lib.rs"))?;
    let declared: Vec<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, LAYERS, "the order in lib.rs is the order of the layers");
    Ok(())
}
