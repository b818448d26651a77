//! The operator's guide: its commands work as written.

use anyhow::Result;
use system_tests::{Reader, Start, blocks};

#[test]
fn every_command_does_what_it_says() -> Result<()> {
    let host = Start::default().start()?;
    // All `sh` blocks, which have no prompts, run as one script.
    let script: String = blocks("operator-guide.md")?
        .into_iter()
        .filter(|block| block.language == "sh")
        .map(|block| block.text)
        .collect();
    assert!(script.lines().count() > 40, "{script}");
    let ran = Reader::of(&host)?.shell(&format!("set -x\n{script}"))?;
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
