//! The operator's guide: its commands work as they are written.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use system_tests::{Start, prepared, repository};

/// All blocks without a prompt, as one script.
fn script() -> Result<String> {
    let guide = fs::read_to_string(repository().join("docs/operator-guide.md"))?;
    let blocks = guide.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    Ok(blocks.collect())
}

#[test]
fn every_command_does_what_it_says() -> Result<()> {
    let host = Start::default().start()?;
    let folder = tempfile::tempdir()?;
    let binary = prepared("BULKHEAD_BINARY");
    let programs = binary.parent().context("a folder")?.display();
    // A reader's host is at the usual ports.
    let script =
        script()?.replace("http://127.0.0.1:8000", &host.url).replace("http://127.0.0.1:8002", &host.admin_url);
    assert!(script.lines().count() > 40, "{script}");
    let ran = Command::new("bash")
        .args(["-eux", "-o", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{programs}:{}", std::env::var("PATH")?))
        .env("BULKHEAD_ADMIN", &host.admin_url)
        .env("BULKHEAD_TOKEN", &host.token)
        .env("DIGITS", prepared("BULKHEAD_MODELS").join("digits"))
        .env("PICTURE", repository().join("examples/digits/held-out/00-is-2.png"))
        .stdin(Stdio::null())
        .output()?;
    let (said, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{errors}");
    for wanted in [
        "asks for assets",
        "activated",
        r#""data":["2"]"#,
        r#""code":"limit_fuel""#,
        "429 Too Many Requests",
        "retry-after: ",
        "ratelimit: \"fuel\";r=",
        "outcome=\"same\"",
        "serves 1.1.0",
        "serves 1.0.0",
        "revoked: reads sevens as ones",
        "is no longer trusted",
        "tenant disable",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in:\n{said}\n{errors}");
    }
    Ok(())
}
