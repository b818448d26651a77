//! The OpenAPI documents: they match the golden files, and every documented operation exists.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use system_tests::{Host, Reply, Start, component, identity, repository};

fn host() -> Result<Host> {
    Start::default().bundle(&identity("rows", "FP32", &[-1, 2]), &[component("identity")]).start()
}

/// `BLESS=1` rewrites the golden file.
#[test]
fn the_document_is_the_golden_one() -> Result<()> {
    let host = host()?;
    compare("openapi.json", host.get("/openapi.json")?)?;
    compare("openapi-operator.json", host.admin_as("", "GET", "/openapi.json", &Value::Null)?)
}

fn compare(golden: &str, document: Reply) -> Result<()> {
    let golden = repository().join("tests/golden").join(golden);
    let document = document.body + "\n";
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(golden.parent().context("a folder")?)?;
        fs::write(&golden, &document)?;
    }
    let wanted = fs::read_to_string(&golden).unwrap_or_default();
    let differs = document.lines().zip(wanted.lines()).find(|(line, wanted)| line != wanted);
    assert!(document == wanted, "the surface changed ({differs:?}): look at it, then run this test with BLESS=1");
    Ok(())
}

#[test]
fn every_operation_is_served_and_answers_as_it_says() -> Result<()> {
    let host = host()?;
    let document = host.get("/openapi.json")?.json();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().context("paths")? {
        let path = path.replace("{model}", "rows").replace("{version}", "1.0.0").replace("{label}", "stable");
        for (method, operation) in item.as_object().context("operations")? {
            let reply = if method == "get" { host.get(&path)? } else { host.post(&path, "application/json", b"{}")? };
            let said = &operation["responses"][reply.status.to_string()];
            let said =
                &said["$ref"].as_str().and_then(|place| document.pointer(&place[1..])).unwrap_or(said)["content"];
            let kind = reply.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
            assert!(said.get(kind).is_some(), "{method} {path}: {said}: {reply:?}");
            operations += 1;
        }
    }
    assert!(operations > 40, "{operations}");
    Ok(())
}

#[test]
fn every_reference_of_the_document_resolves() -> Result<()> {
    let host = host()?;
    let document = host.get("/openapi.json")?;
    let json: Value = document.json();
    for named in document.body.split("\"#/").skip(1) {
        let place = named.split('"').next().unwrap_or_default();
        assert!(json.pointer(&format!("/{place}")).is_some_and(Value::is_object), "{place}");
    }
    let page = host.get("/docs")?;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("/v2/models/<i>{model}</i>/infer") && !page.body.contains("<script"));
    Ok(())
}
