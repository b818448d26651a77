//! Clients of other projects, used as their users use them.

use std::process::Command;

use anyhow::Result;
use system_tests::{Host, Start, component, identity, labelled, labelled_files, prepared, repository, succeed};

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

#[test]
fn tritons_http_clients_need_no_change() -> Result<()> {
    let files = [component("identity")];
    let bundle =
        |start: Start, datatype: &&str| start.bundle(&identity(&datatype.to_lowercase(), datatype, &[-1]), &files);
    let start = DATATYPES.iter().fold(Start::default(), bundle).bundle(&identity("matrix", "FP32", &[-1, -1]), &files);
    let host = start.bundle(&labelled(), &labelled_files()).start()?;
    let mut client = Command::new(prepared("BULKHEAD_CLIENTS"));
    client.arg(repository().join("tests/clients/http_client.py")).args([&host.url, &host.admin_url]);
    client.env("BULKHEAD_KEY", host.key("default", "admin")?);
    let said = succeed(&mut client)?;
    assert!(said.ends_with("all\n"), "{said}");
    Ok(())
}

/// A host with an identity model for each datatype, whose inputs have this shape.
fn identities(shape: &[i64]) -> Result<Host> {
    let files = [component("identity")];
    let bundle =
        |start: Start, datatype: &&str| start.bundle(&identity(&datatype.to_lowercase(), datatype, shape), &files);
    DATATYPES.iter().fold(Start::default(), bundle).start()
}

/// Runs a program of `tests/clients` to its end.
fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_OTHERS"));
    let said = succeed(client.arg(repository().join("tests/clients").join(program)).args(arguments))?;
    anyhow::ensure!(said.ends_with("all\n"), "{said}");
    Ok(())
}

#[test]
fn kserves_clients_need_no_change() -> Result<()> {
    let host = identities(&[-1])?;
    run("kserve_client.py", &[&host.url, &host.grpc])
}

#[test]
fn the_client_of_openvinos_model_server_needs_no_change() -> Result<()> {
    let host = identities(&[-1, -1])?;
    run("ovms_client.py", &[host.address(), &host.grpc])
}

/// The host has none of OpenAI's addresses.
#[test]
fn openais_client_is_told_what_there_is() -> Result<()> {
    let host = identities(&[-1])?;
    run("openai_client.py", &[&host.url])
}
