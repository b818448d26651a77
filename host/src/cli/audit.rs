//! `bulkhead audit`: lists the log of administrative acts, and verifies that it is whole.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

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
/// head that was noted before shows it.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead audit verify
  bulkhead audit verify --noted \"$(cat last-head.txt)\"")]
struct Verify {
    /// A head that was printed earlier, COUNT:HASH: the log must still contain it
    #[arg(long, value_name = "HEAD")]
    noted: Option<String>,
}

impl Audit {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client(self.output)?;
        match self.command {
            Command::List(list) => list.run(&client),
            Command::Verify(Verify { noted }) => {
                let summary = client.get(&address(&["audit", "verify"], &[("noted", noted.as_deref())]))?;
                client.tell(&summary, |summary| {
                    let head = &summary["head"];
                    format!("{}:{}", cell(&head["count"]), cell(&head["hash"]))
                })
            }
        }
    }
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
