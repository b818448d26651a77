//! `bulkhead publisher`: manages the publishers whose signatures the host accepts, with the names that each may use and the
//! imports that its plugins may be granted.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bulkhead_bundle::KeyHint;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::client::{Admin, Client, address};
use super::key;
use super::output::{Output, Table, cell, rows, short};
use super::reference::first_digits;
use super::values::import;
use crate::control::Timestamp;
use crate::tenant::Capability;

/// Trust and list publishers, revoke their keys, remove them
#[derive(Args)]
pub(super) struct Publisher {
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Trust(Trust),
    /// Show the publishers that the host trusts
    #[command(after_help = "Examples:
  bulkhead publisher list
  bulkhead publisher list --json | jq '.[] | {name, keys: [.keys[].hint]}'")]
    List,
    Revoke(Revoke),
    Remove(Remove),
}

/// Trust a publisher's key, or change what it may do
///
/// By default, a new publisher may use the names under its own (acme/*) and no import. A known publisher keeps the settings
/// that are not given here, and its earlier keys. Prints the publisher as it is afterwards.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead publisher trust acme --key acme.pub --imports logging,assets
  bulkhead publisher trust acme --add-imports graphs
  bulkhead publisher trust acme --key acme-2027.pub --not-before 2027-01-01 --not-after 2028-01-01
  bulkhead publisher trust acme --names 'acme/*,shared/labels'")]
struct Trust {
    name: String,
    /// A public key, as `bulkhead key new` makes it
    #[arg(long, value_name = "FILE.pub")]
    key: Option<PathBuf>,
    /// The imports that its plugins may be granted, replacing the earlier ones; '' for none
    #[arg(long, value_name = "IMPORTS", value_delimiter = ',', value_parser = import())]
    imports: Option<Vec<Option<Capability>>>,
    /// Imports in addition to the earlier ones
    #[arg(long, value_name = "IMPORTS", value_delimiter = ',', value_parser = import(), conflicts_with = "imports")]
    add_imports: Vec<Option<Capability>>,
    /// The names of bundles that it may use, replacing the earlier ones
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    names: Option<Vec<String>>,
    /// Names in addition to the earlier ones
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "names")]
    add_names: Vec<String>,
    /// Uploads before this moment are refused: a time, the first moment of a day (UTC), or `never` for no such bound
    #[arg(long, value_name = DATE, value_parser = bound, requires = "key")]
    not_before: Option<Bound>,
    /// Uploads after this moment are refused; bundles that were uploaded before stay valid
    #[arg(long, value_name = DATE, value_parser = bound, requires = "key")]
    not_after: Option<Bound>,
    /// Confirms that versions which are served now stop, if the narrower trust does not cover them
    #[arg(long)]
    yes: bool,
}

/// Revoke a key: bundles that it signed stop serving at once, for good
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead publisher revoke acme --key acme.pub
  bulkhead publisher revoke acme --key 0f3a1b2c3d4e             (the digits that publisher list shows)")]
struct Revoke {
    name: String,
    /// The first digits of the key, as `publisher list` shows them, or its file
    #[arg(long, value_name = "HINT|FILE.pub")]
    key: String,
}

/// Remove a publisher: its bundles stop serving at once
#[derive(Args)]
#[command(after_help = "Example:\n  bulkhead publisher remove acme")]
struct Remove {
    name: String,
}

impl Publisher {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client(self.output)?;
        match self.command {
            Command::Trust(trust) => trust.run(&client),
            Command::List => client.tell(&client.get("/v1/publishers")?, table),
            Command::Revoke(revoke) => revoke.run(&client),
            Command::Remove(Remove { name }) => {
                client.ask(Method::DELETE, &address(&["publishers", &name], &[]), &Value::Null)?;
                client.tell(&json!({ "removed": name }), |_| {
                    format!("publisher {name} is no longer trusted; its bundles are not served any more")
                })
            }
        }
    }
}

impl Trust {
    fn run(self, client: &Client) -> Result<()> {
        let key = self.key.as_deref().map(key::read_public).transpose()?;
        let mut body = json!({
            "key": key.as_ref().map(|key| key.to_pem()),
            "imports": self.imports.map(|imports| imports.into_iter().flatten().collect::<Vec<_>>()),
            "add_imports": self.add_imports.into_iter().flatten().collect::<Vec<_>>(),
            "names": self.names,
            "add_names": self.add_names,
            "stop": self.yes,
        });
        // A bound that is left out of the request stays as it is.
        for (field, bound) in [("not_before", self.not_before), ("not_after", self.not_after)] {
            if let Some(Bound(moment)) = bound {
                body[field] = json!(moment);
            }
        }
        let publisher = client.ask(Method::PUT, &address(&["publishers", &self.name], &[]), &body)?;
        client.tell(&publisher, |publisher| table(&json!([publisher])))
    }
}

impl Revoke {
    fn run(self, client: &Client) -> Result<()> {
        let hint = self.hint(client)?;
        let place = address(&["publishers", &self.name, "keys", &hint, "revoke"], &[]);
        let publisher = client.ask(Method::POST, &place, &Value::Null)?;
        client.tell(&publisher, |publisher| table(&json!([publisher])))
    }

    /// The whole hint of the key, from its first digits or its file.
    fn hint(&self, client: &Client) -> Result<String> {
        if let Ok(hint) = self.key.parse::<KeyHint>() {
            return Ok(hint.to_string());
        }
        let Ok(digits) = first_digits(&self.key) else {
            return Ok(key::read_public(Path::new(&self.key))?.hint().to_string());
        };
        let publishers = client.get("/v1/publishers")?;
        let publisher = rows(&publishers).find(|publisher| publisher["name"] == *self.name);
        let keys = publisher.map(|publisher| &publisher["keys"]);
        let hints = keys.into_iter().flat_map(rows).filter_map(|key| key["hint"].as_str());
        match hints.filter(|hint| hint.starts_with(&digits)).collect::<Vec<_>>()[..] {
            [hint] => Ok(hint.to_owned()),
            [] => bail!("publisher \"{}\" has no key that begins with {digits}", self.name),
            _ => bail!("several keys of publisher \"{}\" begin with {digits}; write more digits", self.name),
        }
    }
}

fn table(publishers: &Value) -> String {
    let mut table = Table::new(["publisher", "key", "state", "from", "until", "names", "imports"]);
    for publisher in rows(publishers) {
        for key in rows(&publisher["keys"]) {
            table.row([
                cell(&publisher["name"]),
                short(&key["hint"]),
                cell(&key["state"]),
                cell(&key["not_before"]),
                cell(&key["not_after"]),
                cell(&publisher["names"]),
                cell(&publisher["imports"]),
            ]);
        }
    }
    table.or("no publishers are trusted; add one with bulkhead publisher trust NAME --key FILE.pub")
}

const DATE: &str = "DATE|never";

/// A bound of a key's window; `None` removes it.
#[derive(Clone, Copy)]
struct Bound(Option<Timestamp>);

fn bound(text: &str) -> Result<Bound, String> {
    if text == "never" { Ok(Bound(None)) } else { text.parse().map(|moment| Bound(Some(moment))) }
}
