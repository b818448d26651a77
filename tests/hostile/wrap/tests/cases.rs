//! Checks that every case is complete: a case that the host refuses because of its author's mistake would test nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it misses by failing")]

use std::fs;
use std::path::PathBuf;

use wasmparser::{Parser, Validator, WasmFeatures};

/// Error codes of the cases, each with its status.
const CODES: [(&str, i64); 13] = [
    ("", 200),
    ("invalid_input", 400),
    ("limit_fuel", 500),
    ("limit_log", 500),
    ("limit_memory", 500),
    ("limit_stack", 500),
    ("limit_time", 504),
    ("model_unavailable", 503),
    ("multiple_responses", 400),
    ("plugin_failed", 500),
    ("plugin_output", 500),
    ("plugin_trap", 500),
    ("plugin_unavailable", 503),
];

/// Names and folders of the cases.
fn cases() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir("../cases").unwrap().map(|entry| entry.unwrap().path());
    let cases: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    assert!(cases.len() > 40);
    cases.into_iter().map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

fn read(file: PathBuf) -> toml::Table {
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn expectations_agree_with_themselves() {
    for (name, folder) in cases() {
        let expect = &read(folder.join("case.toml"))["expect"];
        let status = expect["status"].as_integer().unwrap();
        let code = expect.get("code").map_or("", |code| code.as_str().unwrap());
        assert!(CODES.contains(&(code, status)), "{name}: \"{code}\" with status {status}");
        if let Some(limit) = code.strip_prefix("limit_") {
            let key = if limit == "stack" { "compute.stack".into() } else { format!("call.{limit}") };
            let told = [format!("{limit} limit"), key].map(toml::Value::from);
            assert_eq!(expect["contains"].as_array().unwrap()[..], told, "{name}");
        }
    }
}

#[test]
fn bundles_have_one_stage_and_its_component() {
    for (name, folder) in cases() {
        let bundle = read(folder.join("bundle.toml"));
        assert_eq!(bundle["bundle"]["name"].as_str(), Some(&*format!("hostile/{name}")));
        assert_eq!(bundle["bundle"]["version"].as_str(), Some("1.0.0"), "{name}");
        let [stage] = &bundle["pipeline"]["stages"].as_array().unwrap()[..] else { panic!("{name}: one stage") };
        let [plugin] = &bundle["plugin"].as_array().unwrap()[..] else { panic!("{name}: one plugin") };
        assert_eq!(plugin["name"], *stage, "{name}");
        let component = plugin["component"].as_str().unwrap();
        let own = ["core.wat", "component.wat", "component.wasm"].map(|file| folder.join(file).exists());
        let own = own.into_iter().filter(|exists| *exists).count();
        match component.strip_prefix("hostile-").and_then(|file| file.strip_suffix(".wasm")) {
            Some(member) => assert!(own == 0 && folder.join("../..").join(member).is_dir(), "{name}"),
            None => assert!(own == 1 && component == "component.wasm", "{name}"),
        }
    }
}

#[test]
fn texts_become_valid_components() {
    for (name, folder) in cases() {
        let component = hostile_wrap::component(&folder).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let Some(bytes) = component else { continue };
        let valid = Validator::new_with_features(WasmFeatures::all()).validate_all(&bytes);
        match name.as_str() {
            "garbage" => assert!(valid.is_err()),
            "core-module" => assert!(valid.is_ok() && Parser::is_core_wasm(&bytes)),
            _ => assert!(valid.is_ok() && Parser::is_component(&bytes), "{name}: {:?}", valid.err()),
        }
    }
}
