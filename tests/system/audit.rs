//! The audit log of a host with many acts: the oldest entries move to files, which the command verifies together with the host.

use anyhow::Result;
use system_tests::{Reader, Start};

#[test]
fn old_entries_move_to_files_and_the_whole_log_can_be_verified() -> Result<()> {
    let mut host = Start::default().config("[audit]\nentries = 100\n").start()?;
    host.tenant("t", &serde_json::json!({}))?;
    let run = |host: &_, script: &str| -> Result<(bool, String, String)> {
        let done = Reader::of(host)?.shell(script)?;
        Ok((done.status.success(), String::from_utf8(done.stdout)?, String::from_utf8(done.stderr)?))
    };
    let (_, noted, _) = run(&host, "bulkhead audit verify")?;
    let before: u64 = noted.split(':').next().unwrap_or_default().parse()?;
    for _ in 0..110 {
        host.key("t", "infer")?;
    }
    host.wait_for_log(&["old entries of the audit log were moved to a file"])?;
    assert_eq!(host.files_of("audit")?, ["000000000001-000000000010.jsonl"]);
    let parts = host.data().join("audit").join("*.jsonl").display().to_string();
    let whole = run(&host, &format!("bulkhead audit verify --noted {} --part {parts}", noted.trim()))?;
    assert!(whole.0 && whole.1.starts_with(&format!("{}:", before + 110)), "{whole:?}");
    let (_, list, _) = run(&host, "bulkhead audit list --json")?;
    let list: Vec<serde_json::Value> = serde_json::from_str(&list)?;
    assert_eq!((list.len() as u64, &list[0]["id"]), (before + 100, &11.into()));
    let before_parts = "verified from entry 11 on; entries 1 to 10 are in earlier parts, which were not given";
    assert!(whole.2.is_empty(), "{whole:?}");
    let (success, _, error) = run(&host, "bulkhead audit verify")?;
    assert!(success && error.contains(before_parts), "{error}");
    let (_, json, _) = run(&host, &format!("bulkhead audit verify --json --part {parts}"))?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    assert_eq!((&json["base"]["count"], &json["head"]["count"]), (&0.into(), &(before + 110).into()), "{json}");
    let (success, _, error) = run(&host, &format!("bulkhead audit verify --noted {}", noted.trim()))?;
    assert!(!success && error.contains(&format!("entry {before}, which was noted, is in a part")), "{error}");
    let empty = host.data().join("audit").join("none.jsonl");
    std::fs::write(&empty, "")?;
    let (success, _, error) = run(&host, &format!("bulkhead audit verify --part {}", empty.display()))?;
    assert!(!success && error.contains("begins after 10:"), "{error}");
    std::fs::remove_file(empty)?;
    host.kill()?;
    let again = Start::default().data_of(&host).start()?;
    assert_eq!(run(&again, &format!("bulkhead audit verify --part {parts}"))?.1, whole.1);
    Ok(())
}
