//! `bulkhead tenant key`: creates, lists and revokes the keys of a tenant.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::client::{Client, address};
use crate::cli::output::{Table, cell, rows};
use crate::cli::values;
use crate::control::Timestamp;
use crate::tenant::Role;

/// Create, list and revoke keys
#[derive(Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(Create),
    /// List a tenant's keys, without their secrets, which the host does not store
    #[command(after_help = "Example:\n  bulkhead tenant key list shop")]
    List {
        tenant: String,
    },
    Revoke(Revoke),
}

/// Create a key and print it once: the host does not store it, so it cannot be shown again
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead tenant key create shop --role infer > shop.key
  bulkhead tenant key create shop --role deploy --expires 90d --note 'build server'")]
struct Create {
    tenant: String,
    /// infer calls models; deploy also uploads and changes the tenant's own models; admin may do everything
    #[arg(long, value_parser = values::role())]
    role: Role,
    /// A date such as 2027-01-31, or a time from now such as 90d or 12h [default: never]
    #[arg(long, value_name = "DATE|TIME", value_parser = values::later)]
    expires: Option<Timestamp>,
    /// A note on what the key is for
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
}

/// Revoke a key: the next request with it is refused
#[derive(Args)]
#[command(after_help = "Example:\n  bulkhead tenant key revoke shop 0a1b2c3d4e5f")]
struct Revoke {
    tenant: String,
    /// The ID of the key, as `tenant key list` shows it; a key has the form bh_ID_…
    id: String,
}

impl Key {
    pub(super) fn run(self, client: &Client) -> Result<()> {
        match self.command {
            Command::Create(create) => create.run(client),
            Command::List { tenant } => client.tell(&client.get(&address(&["tenants", &tenant, "keys"], &[]))?, table),
            Command::Revoke(Revoke { tenant, id }) => {
                let reply =
                    client.ask(Method::DELETE, &address(&["tenants", &tenant, "keys", &id], &[]), &Value::Null)?;
                client.tell(&reply, |_| format!("revoked key {id} of tenant {tenant}"))
            }
        }
    }
}

impl Create {
    fn run(self, client: &Client) -> Result<()> {
        let body = json!({ "role": self.role, "note": self.note, "expires": self.expires });
        let key = client.ask(Method::POST, &address(&["tenants", &self.tenant, "keys"], &[]), &body)?;
        // Standard output contains only the key, so that it can be piped.
        client.tell(&key, |key| cell(&key["key"]))?;
        let (id, role, expires) = (cell(&key["id"]), cell(&key["role"]), &key["expires"]);
        let until = expires.as_str().map_or("until it is revoked".into(), |expires| format!("until {expires}"));
        eprintln!(
            "key {id} of tenant {}, role {role}, valid {until}. It is not stored and cannot be shown again.",
            self.tenant
        );
        Ok(())
    }
}

fn table(keys: &Value) -> String {
    let mut table = Table::new(["key", "role", "state", "created", "expires", "note"]);
    for key in rows(keys) {
        table.row(["id", "role", "state", "created", "expires", "note"].map(|field| cell(&key[field])));
    }
    table.or("no keys")
}
