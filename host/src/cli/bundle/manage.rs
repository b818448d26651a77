//! `bulkhead bundle list`, `revoke` and `delete`: the commands for bundles that a host stores.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::admin::wire::bundles::Reason;
use crate::cli::client::{Admin, address};
use crate::cli::output::{Output, Table, cell, plain, rows, short};
use crate::cli::reference::Reference;
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
#[command(after_help = "Examples:
  bulkhead bundle revoke acme/digits@1.1.0 --reason 'reads beyond its input'
  bulkhead bundle revoke 0f3a1b2c3d4e --reason 'its key leaked'")]
pub(super) struct Revoke {
    /// The bundle: NAME@VERSION, or its digest or the first digits of it, as `bundle list` shows them
    #[arg(value_name = "NAME@VERSION|DIGEST", value_parser = Reference::parse)]
    bundle: Reference,
    /// Shown to clients, in `bundle list`, when these contents are uploaded again, and in the audit log. For contents that
    /// were revoked before, it replaces the reason
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    admin: Admin,
}

/// Delete a bundle's files; its version can only be uploaded again with the same contents
#[derive(Args)]
#[command(after_help = "Example:\n  bulkhead bundle delete acme/digits@1.1.0 --tenant shop")]
pub(super) struct Delete {
    /// The bundle: NAME@VERSION, or its digest or the first digits of it, as `bundle list` shows them
    #[arg(value_name = "NAME@VERSION|DIGEST", value_parser = Reference::parse)]
    bundle: Reference,
    /// The tenant that owns it [default: the token's own tenant; `default` for the operator]
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

impl List {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let client = self.admin.client(output)?;
        client.tell(&client.get(&address(&["bundles"], &[("tenant", self.tenant.as_deref())]))?, table)
    }
}

impl Revoke {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let client = self.admin.client(output)?;
        let digest = self.bundle.find(&client, None)?;
        let body = serde_json::to_value(Reason { reason: self.reason })?;
        client.ask(Method::POST, &address(&["bundles", &digest, "revoke"], &[]), &body)?;
        client.tell(&json!({ "revoked": digest }), |_| {
            format!("revoked {digest}: it is not served to any tenant any more")
        })
    }
}

impl Delete {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let client = self.admin.client(output)?;
        let digest = self.bundle.find(&client, self.tenant.as_deref())?;
        let place = address(&["bundles", &digest], &[("tenant", self.tenant.as_deref())]);
        client.ask(Method::DELETE, &place, &Value::Null)?;
        client.tell(&json!({ "deleted": digest }), |_| format!("deleted {digest}"))
    }
}

fn table(bundles: &Value) -> String {
    let mut table = Table::new(["tenant", "bundle", "version", "model", "state", "uploaded", "digest", "size"]);
    table = table.with_numbers(1);
    let mut reasons = String::new();
    for bundle in rows(bundles) {
        let [tenant, name, version, model, state, uploaded] =
            ["tenant", "name", "version", "model", "state", "uploaded"].map(|field| cell(&bundle[field]));
        if let Some(why) = bundle["not_served_because"].as_str() {
            reasons.push_str(&format!("\n{name} {version} of tenant {tenant} may not be served: {}", plain(why)));
        }
        let size = format_bytes(bundle["bytes"].as_u64().unwrap_or_default());
        table.row([tenant, name, version, model, state, uploaded, short(&bundle["digest"]), size]);
    }
    table.or("no bundles are stored; upload one with bulkhead bundle push FILE") + &reasons
}
