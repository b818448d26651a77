//! `bulkhead audit`: lists the log of administrative acts, and verifies that it is whole.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bulkhead_store::{AuditHead, verify_audit_parts};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Admin, Client, address};
use super::output::{Output, Table, cell};

/// Read the log of administrative acts, and verify it
#[derive(Args)]
pub(super) struct Audit {
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Verify(Verify),
}

/// Show the administrative acts, oldest first; --json adds the state before and after each
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead audit list | tail
  bulkhead audit list --after 1200 --limit 50
  bulkhead audit list --json | jq '.[] | select(.what == \"bundle revoke\") | .after'")]
struct List {
    /// Only entries with a higher number
    #[arg(long, value_name = "ID", default_value_t = 0)]
    after: u64,
    /// At most this many entries
    #[arg(long, value_name = "COUNT", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
}

/// Check that no entry was changed, removed or added, and print the head of the log
///
/// Note the head elsewhere from time to time: anyone who can write to the data folder can rewrite the whole log, and only a
/// head that was noted before shows it. Old entries are in files in the data folder's audit/, wherever you moved them: with
/// --part, they are verified, too, and must go on in the host's log. If the first of them are not given, the command says from
/// which entry on the log was verified.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead audit verify
  bulkhead audit verify --noted \"$(cat last-head.txt)\"
  bulkhead audit verify --part bulkhead-data/audit/*.jsonl")]
struct Verify {
    /// A head that was printed earlier, COUNT:HASH: the log must still contain it
    #[arg(long, value_name = "HEAD")]
    noted: Option<AuditHead>,
    /// Files with older entries, in their order
    #[arg(long, value_name = "FILE", num_args = 1..)]
    part: Vec<PathBuf>,
}

impl Audit {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client(self.output)?;
        match self.command {
            Command::List(list) => list.run(&client),
            Command::Verify(verify) => verify.run(&client),
        }
    }
}

impl Verify {
    fn run(self, client: &Client) -> Result<()> {
        let parts = verify_audit_parts(&self.part, self.noted.as_ref())?;
        let end = parts.head;
        // A head that is in one of the parts was found there.
        let noted = self.noted.filter(|noted| noted.count > end.count).map(|noted| noted.to_string());
        let mut summary = client.get(&address(&["audit", "verify"], &[("noted", noted.as_deref())]))?;
        let base = head(&summary["base"]);
        ensure!(
            self.part.is_empty() || base == end.to_string(),
            "the last part ends with {end}, but the log in the host's database begins after {base}: a part is missing, or is of another log"
        );
        if !self.part.is_empty() {
            summary["base"] = json!({ "count": parts.base.count, "hash": parts.base.hash.hex() });
        }
        if let Some(before @ 1..) = summary["base"]["count"].as_u64() {
            eprintln!(
                "bulkhead: verified from entry {} on; entries 1 to {before} are in earlier parts, which were not given: name all files of the data folder's audit/ with --part",
                before + 1
            );
        }
        client.tell(&summary, |summary| head(&summary["head"]))
    }
}

/// A head of the log in its written form.
fn head(head: &Value) -> String {
    format!("{}:{}", cell(&head["count"]), cell(&head["hash"]))
}

impl List {
    fn run(self, client: &Client) -> Result<()> {
        let (mut after, mut entries) = (self.after, Vec::new());
        loop {
            let missing = self.limit.saturating_sub(entries.len() as u64).min(PAGE);
            let query = [("after", Some(&*after.to_string())), ("limit", Some(&*missing.to_string()))];
            let Value::Array(page) = client.get(&address(&["audit"], &query))? else { break };
            let read = page.len() as u64;
            after = page.last().and_then(|entry| entry["id"].as_u64()).unwrap_or(after);
            entries.extend(page);
            if read < PAGE {
                break;
            }
        }
        client.tell(&Value::Array(entries), table)
    }
}

/// Number of entries that one request asks for.
const PAGE: u64 = 1000;

fn table(entries: &Value) -> String {
    let mut table = Table::new(["id", "when", "who", "what", "subject", ""]);
    for entry in super::output::rows(entries) {
        let damaged = if entry["intact"] == false { "damaged" } else { "" };
        table.row([
            cell(&entry["id"]),
            cell(&entry["at"]),
            cell(&entry["who"]),
            cell(&entry["what"]),
            cell(&entry["subject"]),
            damaged.into(),
        ]);
    }
    table.or("no entries")
}
