//! Conformance with the OpenAPI documents: schemathesis, an independent tool, generates valid and invalid requests from
//! them and checks every reply. No request makes a healthy host fail.

use std::process::Command;

use anyhow::Result;
use serde_json::json;
use system_tests::{Draft, Host, Publisher, Start, component, example, identity, prepared, repository, succeed};

/// Runs schemathesis against the document of one port, with this key.
fn hold(host: &Host, url: &str, key: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clients = repository().join("tests/clients").canonicalize()?;
    let mut command = Command::new(prepared("BULKHEAD_SCHEMATHESIS"));
    command
        .arg("--config-file")
        .arg(clients.join("contract.toml"))
        .args(["--no-color", "run", &format!("{url}/openapi.json")])
        .env("SCHEMATHESIS_HOOKS", clients.join("contract_hooks.py"))
        .env("PICTURE", repository().join("examples/digits/held-out/00-is-2.png").canonicalize()?)
        .env("BULKHEAD_KEY", key)
        // schemathesis stores its state in the working directory.
        .current_dir(folder.path());
    succeed(&mut command)?;
    let log = host.log();
    let failed: Vec<&str> = log.lines().filter(|line| line.contains("request failed")).collect();
    anyhow::ensure!(failed.is_empty(), "the log has failed requests: {failed:?}");
    Ok(())
}

#[test]
fn the_clients_document_is_kept() -> Result<()> {
    let (digits, files) = example("digits")?;
    let mut start = Start::default().bundle(&digits, &files);
    let echoes = [
        ("fp32", "FP32", &[-1][..]),
        ("rows", "FP32", &[-1, -1]),
        ("int64", "INT64", &[-1]),
        ("bool", "BOOL", &[-1]),
        ("bytes", "BYTES", &[-1]),
    ];
    for (model, datatype, shape) in echoes {
        start = start.bundle(&identity(model, datatype, shape), &[component("identity")]);
    }
    let host = start.start()?;
    hold(&host, &host.url, &host.key("default", "admin")?)?;
    // Not all requests were refused.
    let metrics = host.metrics()?;
    for model in echoes.map(|(model, ..)| model).into_iter().chain(["digits"]) {
        let answered = format!("bulkhead_requests_total{{model=\"{model}\",outcome=\"ok\",tenant=\"default\"}}");
        assert!(metrics.contains(&answered), "{answered}: {metrics}");
    }
    Ok(())
}

#[test]
fn the_operators_document_is_kept() -> Result<()> {
    let host = Start::default().start()?;
    host.tenant("shop", &json!({}))?;
    let acme = Publisher::trusted("acme", &host)?;
    for version in ["1.0.0", "1.1.0"] {
        acme.push(&host, &Draft::identity("acme/fp32", version))?.ok()?;
    }
    hold(&host, &host.admin_url, &host.token)
}
