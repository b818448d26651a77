//! `bulkhead tenant usage`: shows the usage counters of tenants.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::cli::client::{Client, address};
use crate::cli::output::{Table, cell, plain, rows};
use crate::config::{format_bytes, format_count};

/// Show the usage of tenants since they were created: requests, fuel, processor time, bytes
///
/// Counters only grow, and survive restarts. To bill a period, subtract two --json outputs.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead tenant usage
  bulkhead tenant usage shop --json | jq '.usage[] | {model, fuel}'")]
pub(super) struct Usage {
    /// Only the usage of this tenant [default: of all tenants that the token may see]
    name: Option<String>,
}

impl Usage {
    pub(super) fn run(self, client: &Client) -> Result<()> {
        let usage = client.get(&address(&["usage"], &[("tenant", self.name.as_deref())]))?;
        for damaged in rows(&usage["damaged"]) {
            eprintln!("bulkhead: left out: {}", plain(damaged.as_str().unwrap_or_default()));
        }
        client.tell(&usage, |usage| table(&usage["usage"]))
    }
}

fn table(usage: &Value) -> String {
    let heads = ["tenant", "model", "requests", "refused", "fuel", "processor", "received", "sent"];
    let mut table = Table::new(heads).with_numbers(6);
    for row in rows(usage) {
        let number = |field: &str| row[field].as_u64().unwrap_or_default();
        let processor = Duration::from_millis(number("cpu_nanoseconds") / 1_000_000);
        table.row([
            cell(&row["tenant"]),
            cell(&row["model"]),
            number("requests").to_string(),
            number("refused").to_string(),
            format_count(number("fuel")),
            humantime::format_duration(processor).to_string(),
            format_bytes(number("request_bytes")),
            format_bytes(number("reply_bytes")),
        ]);
    }
    table.or("nothing was used yet")
}
