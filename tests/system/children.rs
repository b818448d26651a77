//! Uploaded files are compiled, and loaded for the first time, in a child process. If the child fails, the host names the
//! step and the part that failed, and continues to serve the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use system_tests::{Host, Start, component, identity, prepared, repository, wait_until};

/// The manifest of a bundle whose only stage is this file.
fn bundle(kind: &str, name: &str, file: &str) -> String {
    let key = if kind == "plugin" { "component" } else { "file" };
    format!(
        "[bundle]\nname = \"test/{name}\"\nversion = \"1.0.0\"\n[[{kind}]]\nname = \"culprit\"\n{key} = \"{file}\"\n[pipeline]\nstages = [\"culprit\"]\n"
    )
}

/// A component with one function of several megabytes, whose values all live until its end. Validation is fast, but
/// compilation takes memory without bound.
fn compile_bomb(folder: &Path) -> Result<PathBuf> {
    const VALUES: usize = 2_000_000;
    let mut body = vec![0];
    for _ in 0..VALUES {
        // `global.get 0`, whose value stays on the stack.
        body.extend_from_slice(&[0x23, 0]);
    }
    // `i32.add` for all but one value, then `drop` and `end`.
    body.extend(std::iter::repeat_n(0x6a, VALUES - 1));
    body.extend_from_slice(&[0x1a, 0x0b]);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // A type () -> (), a function of that type, and a mutable global.
    module.extend_from_slice(&[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 6, 6, 1, 0x7f, 1, 0x41, 0, 0x0b]);
    let code = [&[1][..], &leb128(body.len()), &body].concat();
    module.extend(section(10, &code));
    let component = [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module)].concat();
    let file = folder.join("bomb.wasm");
    fs::write(&file, component)?;
    Ok(file)
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb128(content.len()), content].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

/// Starts a host with the given bundle and a valid bundle `good` beside it.
fn start(config: &str, manifest: &str, file: PathBuf) -> Result<Host> {
    let start = Start::default().config(config).bundle(manifest, &[file]);
    start.bundle(&identity("good", "FP32", &[-1]), &[component("identity")]).start()
}

fn good_one_serves(host: &Host) -> Result<()> {
    let input = json!({ "name": "input", "datatype": "FP32", "shape": [1], "data": [1] });
    let reply = host.infer("good", &json!({ "inputs": [input] }))?;
    anyhow::ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

fn refused(host: &Host, model: &str, wanted: &[&str]) -> Result<()> {
    let reply = host.get(&format!("/v2/models/{model}"))?;
    anyhow::ensure!(reply.status == 503, "{reply:?}");
    for part in wanted {
        anyhow::ensure!(reply.body.contains(part), "no \"{part}\" in {reply:?}");
    }
    anyhow::ensure!(!reply.body.contains(".rs") && !reply.body.contains("panicked"), "{reply:?}");
    Ok(())
}

#[test]
fn a_component_that_wants_too_much_memory_to_compile_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "[compile]\nmemory = '128 MiB'\ntime = '60s'\n";
    let host = start(config, &bundle("plugin", "bomb", "bomb.wasm"), compile_bomb(folder.path())?)?;
    refused(&host, "bomb", &["culprit", "compiling it needed more memory than 128.0 MiB", "(compile.memory)"])?;
    good_one_serves(&host)
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused_and_its_child_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let start = Start::default().config("[compile]\nmemory = '8 GiB'\ntime = '500ms'\n");
    let start = start.bundle(&bundle("plugin", "bomb", "bomb.wasm"), &[compile_bomb(folder.path())?]);
    let host = start.start()?;
    refused(&host, "bomb", &["culprit", "compiling it ", " of processor time", "(compile.time)"])?;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    wait_until(|| Ok(host.children()?.is_empty()))
}

#[test]
fn a_graph_that_wants_too_much_memory_to_load_is_refused() -> Result<()> {
    let file = repository().join("tests/graphs/vast-constant.onnx");
    let host = start("", &bundle("graph", "vast", "vast-constant.onnx"), file)?;
    refused(&host, "vast", &["culprit", "loading it needed more memory than 2.0 GiB", "(compile.memory)"])?;
    good_one_serves(&host)
}

/// Starts a worker as the host does, with an open input pipe to which nothing is written yet.
fn worker(job: &str) -> Result<Child> {
    let mut command = Command::new(prepared("BULKHEAD_BINARY"));
    command.args(["worker", job, "134217728", "7"]);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

#[test]
fn a_child_lowers_its_limits_before_it_reads() -> Result<()> {
    let child = worker("compile")?;
    let limits = format!("/proc/{}/limits", child.id());
    let soft_limit = |name: &str| -> Result<String> {
        let limits = fs::read_to_string(&limits)?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).context("no such limit")?;
        Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
    };
    // This limit is lowered last.
    wait_until(|| Ok(soft_limit("Max address space")? != "unlimited"))?;
    for (name, wanted) in [
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max open files", "16"),
        ("Max cpu time", "7"),
        ("Max data size", "134217728"),
    ] {
        assert_eq!(soft_limit(name)?, wanted, "{name}");
    }
    drop(child.wait_with_output()?);
    Ok(())
}

/// `Seccomp: 2` is a filter of system calls. The test of the unit tries what the confinement refuses.
#[test]
fn a_child_is_confined_before_it_reads() -> Result<()> {
    for job in ["compile", "graph"] {
        let child = worker(job)?;
        let status = format!("/proc/{}/status", child.id());
        wait_until(|| {
            let status = fs::read_to_string(&status)?;
            Ok(["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t2"].iter().all(|line| status.contains(line)))
        })?;
        drop(child.wait_with_output()?);
    }
    Ok(())
}

#[test]
fn a_child_that_reads_an_invalid_job_ends_with_an_error() -> Result<()> {
    use std::io::Write;
    for nonsense in [&b""[..], b"{}", &[0xff; 100], b"\x02\0\0\0\0\0\0\0\0\0\0\0{}"] {
        for job in ["compile", "graph"] {
            let mut child = worker(job)?;
            child.stdin.take().context("no input")?.write_all(nonsense)?;
            let output = child.wait_with_output()?;
            assert_eq!(output.status.code(), Some(1), "{job} {nonsense:?}: {output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
        }
    }
    Ok(())
}
