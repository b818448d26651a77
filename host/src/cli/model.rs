//! `bulkhead model`: sets which versions of a model are served, how requests are divided between them, and which tenants
//! may call it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use semver::Version;
use serde::Serialize;
use serde_json::Value;
use ureq::http::Method;

use super::client::{Admin, Client, address};
use super::output::{Output, Table, WrongUsage, cell, fields, list, rows, short};
use super::values;
use crate::admin::wire::models::{Labelled, Policy, Shadow, Sharing, Split, Sticky};

/// Label, split, shadow, share, roll back and retire versions of models
#[derive(Args)]
pub(super) struct Model {
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    pub(super) output: Output,
    /// The tenant that owns the model [default: the token's own tenant; `default` for the operator]
    #[arg(long, global = true)]
    tenant: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show all models and the versions that they serve
    #[command(after_help = "Examples:\n  bulkhead model list\n  bulkhead model list --tenant shop")]
    List,
    /// Show a model with its versions
    #[command(after_help = "Example:\n  bulkhead model show digits")]
    Show {
        model: String,
    },
    Label(Label),
    Split(SplitBy),
    Shadow(ShadowBy),
    Policy(PolicyBy),
    Share(Share),
    /// Go back to the version that was served before, in one step; running requests are not affected
    ///
    /// That version gets the label `stable`, so that versions pushed later are not served by default until the label is
    /// moved or removed.
    #[command(after_help = "Example:\n  bulkhead model rollback digits")]
    Rollback {
        model: String,
    },
    /// Take a version out of service; its files stay, and `activate` brings it back
    ///
    /// Its labels are removed, and a split or shadow with it ends. If it was `stable`, the highest version that is left is
    /// served.
    #[command(after_help = "Example:\n  bulkhead model retire digits 1.0.0")]
    Retire {
        model: String,
        #[arg(value_parser = values::version)]
        version: Version,
    },
    /// Serve a retired version again, or retry one that failed
    #[command(after_help = "Example:\n  bulkhead model activate digits 1.0.0")]
    Activate {
        model: String,
        #[arg(value_parser = values::version)]
        version: Version,
    },
}

/// Set a label on a version; requests without a version go to the one labelled stable
///
/// Clients use a label in the place of a version: /v2/models/digits/versions/canary/infer.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead model label digits stable 1.0.0
  bulkhead model label digits canary 1.1.0
  bulkhead model label digits canary --remove")]
struct Label {
    model: String,
    label: String,
    #[arg(required_unless_present = "remove", value_parser = values::version)]
    version: Option<Version>,
    #[arg(long, conflicts_with = "version")]
    remove: bool,
}

/// Divide requests without a version between several versions, by weight; a split comes before the label stable
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead model split digits 1.0.0=90 1.1.0=10
  bulkhead model split digits 1.0.0=50 1.1.0=50 --sticky header:x-user
  bulkhead model split digits --remove")]
struct SplitBy {
    model: String,
    #[arg(value_name = "VERSION=WEIGHT", value_parser = values::weight, required_unless_present = "remove")]
    weights: Vec<(Version, u32)>,
    /// Keep each caller on one version: by its tenant, or by a header of its requests
    #[arg(long, value_name = "tenant|header:NAME", value_parser = sticky, conflicts_with = "remove")]
    sticky: Option<Sticky>,
    #[arg(long, conflicts_with = "weights")]
    remove: bool,
}

/// Send a version copies of requests; its responses are compared and counted, and never returned
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead model shadow digits 1.1.0 --percent 10
  bulkhead model shadow digits --remove")]
struct ShadowBy {
    model: String,
    #[arg(required_unless_present = "remove", value_parser = values::version)]
    version: Option<Version>,
    /// Percentage of the requests that are copied
    #[arg(long, default_value_t = 100, conflicts_with = "remove", value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: u8,
    #[arg(long, conflicts_with = "version")]
    remove: bool,
}

/// Set which of a model's versions are active
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead model policy digits all
  bulkhead model policy digits latest 2
  bulkhead model policy digits specific 1.0.0 1.2.0")]
struct PolicyBy {
    model: String,
    rule: Rule,
    /// The number of versions for latest, the versions for specific
    what: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Rule {
    All,
    Latest,
    Specific,
}

/// Let other tenants call a model
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead model share digits everybody
  bulkhead model share digits shop,lab
  bulkhead model share digits nobody")]
struct Share {
    model: String,
    #[arg(value_name = "nobody|everybody|TENANTS")]
    with: String,
}

/// The model at a host that a command is about.
struct ModelTarget<'a> {
    client: &'a Client,
    tenant: Option<&'a str>,
    model: &'a str,
}

impl Model {
    pub(super) fn run(self) -> Result<()> {
        let client = self.admin.client(self.output)?;
        let tenant = self.tenant.as_deref();
        let of = |model| ModelTarget { client: &client, tenant, model };
        match &self.command {
            Command::List => client.tell(&client.get(&address(&["models"], &[("tenant", tenant)]))?, table),
            Command::Show { model } => client.tell(&client.get(&of(model).address(&[]))?, describe),
            Command::Label(label) => label.run(&of(&label.model)),
            Command::Split(split) => split.run(&of(&split.model)),
            Command::Shadow(shadow) => shadow.run(&of(&shadow.model)),
            Command::Policy(policy) => of(&policy.model).put(&["policy"], &policy.policy()?),
            Command::Share(share) => of(&share.model).put(&["sharing"], &share.sharing()),
            Command::Rollback { model } => of(model).act(Method::POST, &["rollback"], &Value::Null),
            Command::Retire { model, version } => of(model).of_version(version, "retire"),
            Command::Activate { model, version } => of(model).of_version(version, "activate"),
        }
    }
}

impl ModelTarget<'_> {
    fn address(&self, below: &[&str]) -> String {
        address(&[&["models", self.model], below].concat(), &[("tenant", self.tenant)])
    }

    fn act(&self, method: Method, below: &[&str], body: &Value) -> Result<()> {
        self.client.tell(&self.client.ask(method, &self.address(below), body)?, describe)
    }

    fn put(&self, below: &[&str], what: &impl Serialize) -> Result<()> {
        self.act(Method::PUT, below, &serde_json::to_value(what)?)
    }

    fn remove(&self, below: &[&str]) -> Result<()> {
        self.act(Method::DELETE, below, &Value::Null)
    }

    fn of_version(&self, version: &Version, act: &str) -> Result<()> {
        self.act(Method::POST, &["versions", &version.to_string(), act], &Value::Null)
    }
}

impl Label {
    fn run(&self, target: &ModelTarget) -> Result<()> {
        match &self.version {
            Some(version) => target.put(&["labels", &self.label], &Labelled { version: version.clone() }),
            None => target.remove(&["labels", &self.label]),
        }
    }
}

impl SplitBy {
    fn run(&self, target: &ModelTarget) -> Result<()> {
        if self.remove {
            return target.remove(&["split"]);
        }
        let weights: BTreeMap<Version, u32> = self.weights.iter().cloned().collect();
        if weights.len() < self.weights.len() {
            bail!(WrongUsage("the split names a version twice".into()));
        }
        let sticky = self.sticky.clone().unwrap_or(Sticky::Nothing);
        target.put(&["split"], &Split { weights, sticky })
    }
}

impl ShadowBy {
    fn run(&self, target: &ModelTarget) -> Result<()> {
        match &self.version {
            Some(version) => target.put(&["shadow"], &Shadow { version: version.clone(), percent: self.percent }),
            None => target.remove(&["shadow"]),
        }
    }
}

impl PolicyBy {
    fn policy(&self) -> Result<Policy> {
        Ok(match (self.rule, &self.what[..]) {
            (Rule::All, []) => Policy::All,
            (Rule::Latest, [number]) => {
                Policy::Latest(values::number_of("a number of versions", number).map_err(WrongUsage)?)
            }
            (Rule::Specific, [_, ..]) => {
                let versions = self.what.iter().map(|text| values::version(text)).collect::<Result<_, _>>();
                Policy::Specific(versions.map_err(WrongUsage)?)
            }
            _ => bail!(WrongUsage("write one of: all; latest NUMBER; specific VERSION…".into())),
        })
    }
}

impl Share {
    fn sharing(&self) -> Sharing {
        match &*self.with {
            "nobody" => Sharing::Nobody,
            "everybody" => Sharing::Everybody,
            tenants => Sharing::Tenants(tenants.split(',').map(str::to_owned).collect::<BTreeSet<_>>()),
        }
    }
}

fn sticky(text: &str) -> Result<Sticky, String> {
    match text.split_once(':') {
        Some(("header", name)) if !name.is_empty() => Ok(Sticky::Header(name.to_owned())),
        None if text == "tenant" => Ok(Sticky::Tenant),
        _ => Err("write tenant, or header:NAME".into()),
    }
}

fn table(models: &Value) -> String {
    let mut table = Table::new(["tenant", "model", "serves", "versions", "labels", "split", "shadow", "shared"]);
    for model in rows(models) {
        let versions = rows(&model["versions"]);
        table.row([
            cell(&model["tenant"]),
            cell(&model["model"]),
            if model["routing"]["split"].is_null() { cell(&model["serves"]) } else { "by split".into() },
            list(versions.map(|version| format!("{} {}", cell(&version["version"]), cell(&version["state"])))),
            cell(&model["routing"]["labels"]),
            split(model),
            shadow(model),
            cell(&model["sharing"]),
        ]);
    }
    table.or("no models; upload one with bulkhead bundle push FILE")
}

fn describe(model: &Value) -> String {
    let (name, tenant, serves) = (cell(&model["model"]), cell(&model["tenant"]), cell(&model["serves"]));
    let mut table = Table::new(["version", "state", "labels", "bundle", "digest"]);
    let mut reasons = String::new();
    for version in rows(&model["versions"]) {
        let labels = fields(&model["routing"]["labels"]).filter(|(_, labelled)| **labelled == version["version"]);
        let labels = list(labels.map(|(label, _)| label.clone()));
        let [number, state, bundle] = ["version", "state", "bundle"].map(|field| cell(&version[field]));
        if let Some(reason) = version["reason"].as_str() {
            reasons.push_str(&format!("\n{number}: {}", super::output::plain_lines(reason)));
        }
        table.row([number, state, labels, bundle, short(&version["digest"])]);
    }
    let (policy, shared) = (cell(&model["policy"]), cell(&model["sharing"]));
    let split = if model["routing"]["split"].is_null() { "no split".into() } else { format!("split {}", split(model)) };
    let shadow =
        if model["routing"]["shadow"].is_null() { "no shadow".into() } else { format!("shadow {}", shadow(model)) };
    let serves = match (model["not_served_because"].as_str(), &model["routing"]["split"]) {
        (Some(reason), _) => format!("refuses requests without a version: {}", super::output::plain_lines(reason)),
        (None, Value::Null) => format!("serves {serves}"),
        (None, _) => "serves requests without a version by its split".into(),
    };
    let routes = format!("{split}; {shadow}; active versions: {policy}; shared with {shared}");
    format!("model {name} of tenant {tenant} {serves}\n{routes}\n{}{reasons}", table.or("no versions"))
}

fn split(model: &Value) -> String {
    match &model["routing"]["split"] {
        Value::Null => "-".into(),
        split if split["sticky"] == "nothing" => cell(&split["weights"]),
        split => {
            // As the command takes it: `tenant`, or `header:NAME`.
            let sticky = match split["sticky"]["header"].as_str() {
                Some(header) => format!("header:{}", super::output::plain(header)),
                None => cell(&split["sticky"]),
            };
            format!("{} by {sticky}", cell(&split["weights"]))
        }
    }
}

fn shadow(model: &Value) -> String {
    match &model["routing"]["shadow"] {
        Value::Null => "-".into(),
        shadow => format!("{} {}%", cell(&shadow["version"]), cell(&shadow["percent"])),
    }
}
