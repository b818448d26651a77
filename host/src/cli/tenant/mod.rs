//! `bulkhead tenant`: manages tenants, their limits and keys, and shows their usage.

mod key;
mod usage;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::client::{Admin, Client, address};
use super::output::{Output, Table, cell, fields, list, plain, rows};
use super::values;
use crate::admin::wire::tenants::NewTenant;
use crate::config::{LIMITS, Limit, format_bytes};

/// Create tenants, set their limits, manage their keys, show their usage
#[derive(Args)]
pub(super) struct Tenant {
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(Create),
    /// Show all tenants
    #[command(after_help = "Example:\n  bulkhead tenant list")]
    List,
    /// Show a tenant with all of its limits
    #[command(after_help = "Example:\n  bulkhead tenant show shop")]
    Show(Named),
    Limits(Limits),
    Key(key::Key),
    /// Refuse all of a tenant's requests; its keys, models and bundles are kept
    #[command(after_help = "Example:\n  bulkhead tenant disable shop")]
    Disable(Named),
    /// Accept the requests of a disabled tenant again
    #[command(after_help = "Example:\n  bulkhead tenant enable shop")]
    Enable(Named),
    Delete(Delete),
    Usage(usage::Usage),
}

#[derive(Args)]
struct Named {
    name: String,
}

/// Create a tenant; limits that are not given are those of the host's configuration
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead tenant create shop
  bulkhead tenant create shop fuel-per-second='5 G' concurrency=4 call-time=2s")]
struct Create {
    /// Lower-case letters, digits and dashes
    name: String,
    /// Limits, with the keys that `tenant limits` has
    #[arg(value_name = "KEY=VALUE", value_parser = values::limit)]
    limits: Vec<(String, Value)>,
}

/// Change some of a tenant's limits, from the next request on; without KEY=VALUE show them
#[derive(Args)]
#[command(after_help = limits_help())]
struct Limits {
    name: String,
    #[arg(value_name = "KEY=VALUE", value_parser = values::limit)]
    limits: Vec<(String, Value)>,
}

/// Delete a tenant with its keys, models and bundles; its usage is kept for billing
#[derive(Args)]
#[command(after_help = "Example:\n  bulkhead tenant delete shop --yes")]
struct Delete {
    name: String,
    /// Confirms the deletion, which cannot be undone
    #[arg(long)]
    yes: bool,
}

impl Tenant {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client(self.output)?;
        match self.command {
            Command::Create(create) => create.run(&client),
            Command::List => client.tell(&client.get("/v1/tenants")?, table),
            Command::Show(Named { name }) => client.tell(&client.get(&address(&["tenants", &name], &[]))?, describe),
            Command::Limits(limits) => limits.run(&client),
            Command::Key(key) => key.run(&client),
            Command::Disable(Named { name }) => switch(&client, &name, "disable"),
            Command::Enable(Named { name }) => switch(&client, &name, "enable"),
            Command::Delete(delete) => delete.run(&client),
            Command::Usage(usage) => usage.run(&client),
        }
    }
}

impl Create {
    fn run(self, client: &Client) -> Result<()> {
        let limits = self.limits.into_iter().filter(|(_, value)| !value.is_null());
        let body = serde_json::to_value(NewTenant { name: self.name, limits: limits.collect() })?;
        client.tell(&client.ask(Method::POST, "/v1/tenants", &body)?, describe)
    }
}

impl Limits {
    fn run(self, client: &Client) -> Result<()> {
        if self.limits.is_empty() {
            return client.tell(&client.get(&address(&["tenants", &self.name], &[]))?, describe);
        }
        let body = Value::Object(self.limits.into_iter().collect());
        client.tell(&client.ask(Method::PATCH, &address(&["tenants", &self.name, "limits"], &[]), &body)?, describe)
    }
}

impl Delete {
    fn run(self, client: &Client) -> Result<()> {
        let place = address(&["tenants", &self.name], &[]);
        if !self.yes {
            let tenant = client.get(&place)?;
            let stored = bytes(&tenant["stored_bytes"]);
            bail!(
                "this removes tenant {} with its keys, its models and its bundles ({stored}), and cannot be undone; confirm with --yes",
                self.name
            );
        }
        client.ask(Method::DELETE, &place, &Value::Null)?;
        client.tell(&json!({ "deleted": self.name }), |_| format!("deleted tenant {}", self.name))
    }
}

fn switch(client: &Client, name: &str, to: &str) -> Result<()> {
    let reply = client.ask(Method::POST, &address(&["tenants", name, to], &[]), &Value::Null)?;
    client.tell(&reply, |_| format!("{to}d tenant {name}"))
}

fn limits_help() -> String {
    let mut help = String::from("Keys:\n");
    for limit in &LIMITS {
        help += &format!("  {:<16} {}; {}\n", limit.key, limit.about, limit.bound());
    }
    help + "
Examples:
  bulkhead tenant limits shop                                        (shows them)
  bulkhead tenant limits shop fuel-per-second='5 G' fuel-burst='20 G'
  bulkhead tenant limits shop concurrency=default                    (as the host's configuration says)"
}

fn table(tenants: &Value) -> String {
    let mut table = Table::new(["tenant", "state", "created", "own limits", "stored", "in memory"]).with_numbers(2);
    for tenant in rows(tenants) {
        table.row([
            cell(&tenant["name"]),
            state(tenant).into(),
            cell(&tenant["created"]),
            own_limits(tenant),
            bytes(&tenant["stored_bytes"]),
            bytes(&tenant["resident_bytes"]),
        ]);
    }
    table.or("no tenants")
}

fn describe(tenant: &Value) -> String {
    let mut table = Table::new(["limit", "value", ""]);
    for (key, value) in fields(&tenant["limits"]) {
        let own = if tenant["own_limits"].get(key).is_some() { "its own" } else { "" };
        table.row([cell(&key.as_str().into()), in_units(key, value), own.into()]);
    }
    let (name, created) = (cell(&tenant["name"]), cell(&tenant["created"]));
    let (stored, resident) = (bytes(&tenant["stored_bytes"]), bytes(&tenant["resident_bytes"]));
    format!(
        "tenant {name}: {}, created {created}, stores {stored}, {resident} in memory\n{}",
        state(tenant),
        table.or("no limits")
    )
}

/// The limits that are the tenant's own, in the units in which all limits are shown.
fn own_limits(tenant: &Value) -> String {
    let value = |key: &str| in_units(key, &tenant["limits"][key]);
    list(fields(&tenant["own_limits"]).map(|(key, _)| format!("{}={}", plain(key), value(key))))
}

fn state(tenant: &Value) -> &'static str {
    if tenant["disabled"] == true { "disabled" } else { "active" }
}

fn in_units(key: &str, value: &Value) -> String {
    match (Limit::named(key), value.as_u64()) {
        (Some(limit), Some(number)) => limit.format(number),
        _ => cell(value),
    }
}

fn bytes(value: &Value) -> String {
    format_bytes(value.as_u64().unwrap_or_default())
}
