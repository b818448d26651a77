//! `bulkhead bundle list`, `revoke` and `delete`: the commands for bundles that a host stores.

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use ureq::http::Method;

use crate::admin::wire::bundles::Reason;
use crate::cli::client::{Admin, address};
use crate::cli::output::{Table, cell, rows};
use crate::config::format_bytes;

/// Show the bundles that a host stores
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead bundle list
  bulkhead bundle list --tenant shop --json | jq -r '.[].digest'")]
pub(super) struct List {
    /// Only the bundles of this tenant [default: of all tenants that the token may see]
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

/// Revoke a bundle's contents for every tenant: they stop serving at once, and cannot be uploaded again
#[derive(Args)]
#[command(after_help = "Example:
  bulkhead bundle revoke sha256:0f3a… --reason 'reads beyond its input'")]
pub(super) struct Revoke {
    /// The digest of the bundle, as `bundle list` shows it
    digest: String,
    /// Shown when these contents are uploaded again, and in the audit log
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    admin: Admin,
}

/// Delete a bundle's files; its version can only be uploaded again with the same contents
#[derive(Args)]
#[command(after_help = "Example:\n  bulkhead bundle delete sha256:0f3a… --tenant shop")]
pub(super) struct Delete {
    /// The digest of the bundle, as `bundle list` shows it
    digest: String,
    /// The tenant that owns it [default: the token's own tenant; `default` for the operator]
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

impl List {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client()?;
        client.tell(&client.get(&address(&["bundles"], &[("tenant", self.tenant.as_deref())]))?, table)
    }
}

impl Revoke {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client()?;
        let body = serde_json::to_value(Reason { reason: self.reason })?;
        let reply = client.ask(Method::POST, &address(&["bundles", &self.digest, "revoke"], &[]), &body)?;
        client.tell(&reply, |_| format!("revoked {}: it is not served to any tenant any more", self.digest))
    }
}

impl Delete {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client()?;
        let place = address(&["bundles", &self.digest], &[("tenant", self.tenant.as_deref())]);
        let reply = client.ask(Method::DELETE, &place, &Value::Null)?;
        client.tell(&reply, |_| format!("deleted {}", self.digest))
    }
}

fn table(bundles: &Value) -> String {
    let mut table = Table::new(["tenant", "bundle", "version", "model", "state", "uploaded", "digest", "size"]);
    table = table.with_numbers(1);
    let mut reasons = String::new();
    for bundle in rows(bundles) {
        let [tenant, name, version, model, uploaded, digest, why] =
            ["tenant", "name", "version", "model", "uploaded", "digest", "not_served_because"]
                .map(|field| cell(&bundle[field]));
        let state = match bundle["not_served_because"].is_null() {
            true => cell(&bundle["state"]),
            false => {
                reasons.push_str(&format!("\n{name} {version} of tenant {tenant} is not served: {why}"));
                "revoked".into()
            }
        };
        let size = format_bytes(bundle["bytes"].as_u64().unwrap_or_default());
        table.row([tenant, name, version, model, state, uploaded, digest, size]);
    }
    table.or("no bundles are stored; upload one with bulkhead bundle push FILE") + &reasons
}
