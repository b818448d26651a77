//! The configuration: every key is optional, and all errors are reported together.

use std::fs;
use std::process::{Command, Output};

use anyhow::Result;
use system_tests::{Start, component, identity, prepared};

fn serve(arguments: &[&str], config: &str) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bulkhead.toml");
    fs::write(&file, config)?;
    Ok(Command::new(prepared("BULKHEAD_BINARY")).arg("serve").args(arguments).arg("--config").arg(file).output()?)
}

#[test]
fn mistakes_are_reported_together_with_exit_code_2() -> Result<()> {
    let output = serve(&[], "modles = 'x'\n[call]\nmemory = 'lots'\ntime = '0s'\n[lissten]\nhttp = '127.0.0.1:0'\n")?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in ["modles", "call.memory must be a size", "call.time must be a time", "lissten"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(output.stdout.is_empty());
    Ok(())
}

#[test]
fn a_bad_file_flag_or_level_is_exit_code_2() -> Result<()> {
    assert_eq!(serve(&[], "[call\n")?.status.code(), Some(2));
    assert_eq!(serve(&["--http", "here"], "")?.status.code(), Some(2));
    assert_eq!(serve(&["--log-level", "=loud="], "")?.status.code(), Some(2));
    let address = "\"127.0.0.1:8000\" or \"localhost:8000\"";
    for (arguments, config, phrase) in [
        (&["--log-level", "verbose"][..], "", "off, error, warn, info, debug, trace"),
        (&["--log-level", ""], "", "off, error, warn, info, debug, trace"),
        (&[], "[log]\nlevel = 'warning'\n", "log.level must be a level or directives (levels: off, error, warn,"),
        (&[], "[log]\nlevel = ''\n", "log.level must be"),
        (&["--http", "8000"], "", address),
        (&[], "[listen]\ngrpc = ':8001'\n", address),
        (&["--admin", "0.0.0.0:0"], "[listen]\nplain-admin = 'refuse'\n", "[tls.admin]"),
    ] {
        let output = serve(arguments, config)?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(phrase), "{phrase} is not in:\n{text}");
    }
    let missing =
        Command::new(prepared("BULKHEAD_BINARY")).args(["serve", "--config", "no-such-file.toml"]).output()?;
    assert_eq!(missing.status.code(), Some(2));
    Ok(())
}

#[test]
fn a_host_without_models_is_alive_and_ready() -> Result<()> {
    let host = Start::default().start()?;
    assert_eq!(host.get("/v2/health/live")?.status, 200);
    assert_eq!(host.get("/v2/health/ready")?.status, 200);
    assert_eq!(host.get("/v2")?.json()["name"], "bulkhead");
    Ok(())
}

#[test]
fn a_name_is_an_address_and_a_taken_port_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = |port: &str| {
        format!("data = '{}'\n[listen]\nhttp = 'localhost:{port}'\n", folder.path().join("data").display())
    };
    let host = Start::default().start()?;
    let port = host.address().rsplit(':').next().unwrap_or_default().to_owned();
    let output = serve(&["--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &config(&port))?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("listen.http") && text.contains("another process listens there"), "{text}");
    Ok(())
}

#[test]
fn an_operators_port_that_others_can_reach_is_warned_of() -> Result<()> {
    let warning = "other machines can reach the operator's port";
    let broken = "[tls.grpc]\ncertificate = 'none'\nkey = 'none'\n";
    for (admin, warns) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let folder = tempfile::tempdir()?;
        let config = format!("data = '{}'\n{broken}", folder.path().join("data").display());
        let output = serve(&["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", admin], &config)?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.contains(warning), warns, "{admin}: {text}");
    }
    Ok(())
}

#[test]
fn limits_of_the_file_hold() -> Result<()> {
    let host = Start::default().config("[http]\nrequest-bytes = '1 KiB'\n").start()?;
    let reply = host.post("/v2/models/none/infer", "image/png", &[0; 2000])?;
    assert_eq!(reply.status, 404, "an unknown model is refused before the body is read");
    Ok(())
}

#[test]
fn a_limit_of_addresses_is_named_with_the_keys_that_need_them() -> Result<()> {
    let (_, said) = Start::default().address_space(8 << 20).fails()?;
    // The log has the system's words, too.
    let said = said.lines().find(|line| line.starts_with("bulkhead: ")).unwrap_or_default();
    for part in ["8.0 GiB of addresses", "compute.concurrency", "call.memory", "ulimit -v"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("0x") && !said.contains("mmap"), "{said}");
    Ok(())
}

#[test]
fn a_memory_that_no_call_may_have_is_refused_with_the_keys() -> Result<()> {
    let config = "[call]\nmemory = '64 KiB'\n[init]\nmemory = '64 KiB'\n";
    let start = Start::default().config(config).bundle(&identity("echo", "FP32", &[-1]), &[component("identity")]);
    let why = ["one of its memories begins with ", "may have 64.0 KiB (the larger of call.memory and init.memory)"];
    let refused = start.start()?.call("", "echo", "input")?.refused(503, "model_unavailable", &why)?;
    assert!(!refused.body.contains("0x") && !refused.body.contains("pool"), "{refused:?}");
    Ok(())
}
