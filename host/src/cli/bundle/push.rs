//! `bulkhead bundle push`: uploads a bundle to a host, and prints the steps as the host reports them.

use std::fs::File;
use std::io::{BufWriter, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bulkhead_bundle::Compression;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::Value;

use crate::cli::client::{Admin, Client, address};
use crate::cli::output::{Output, cell, plain};

/// Upload a bundle to a host, which verifies, stores and activates it
///
/// Prints each step as the host completes it. If a step fails, nothing changes in what the host serves.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead bundle push digits-1.2.0.tar.zst
  bulkhead bundle push digits --tenant shop                     (a folder is packed first)
  BULKHEAD_TOKEN=bh_… bulkhead bundle push digits --to https://models.example.com:8002")]
pub(super) struct Push {
    /// An archive, or a bundle's folder
    #[arg(value_name = "FILE|DIR")]
    bundle: PathBuf,
    /// The tenant that will own it [default: the token's own tenant; `default` for the operator]
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

impl Push {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let client = self.admin.client(output)?;
        let archive = match self.bundle.is_dir() {
            true => packed(&self.bundle)?,
            false => File::open(&self.bundle).with_context(|| self.bundle.display().to_string())?,
        };
        let bytes = archive.metadata()?.len();
        let bar = super::progress_bar("sending", bytes);
        let sent = Sent { archive, bar: bar.clone() };
        let mut outcome = Value::Null;
        let place = address(&["bundles"], &[("tenant", self.tenant.as_deref())]);
        client.upload(&place, sent, bytes, |line| {
            bar.finish_and_clear();
            let step: Value =
                serde_json::from_str(line).with_context(|| format!("not a step of an upload: {}", plain(line)))?;
            tell(&client, &step)?;
            outcome = step;
            Ok(())
        })?;
        match outcome["step"].as_str() {
            Some("done") => Ok(()),
            Some("failed") => Err(client.fail(&outcome["refusal"], "")),
            _ => anyhow::bail!("the host did not report the outcome; push again: steps that are done are not repeated"),
        }
    }
}

/// The archive as a request body that advances the progress bar.
struct Sent {
    archive: File,
    bar: ProgressBar,
}

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.archive.read(buffer)?;
        self.bar.inc(read as u64);
        Ok(read)
    }
}

/// Packs a folder into a temporary file without a name.
fn packed(folder: &Path) -> Result<File> {
    let (_, files) = super::read(folder)?.into_parts();
    let mut archive = tempfile::tempfile()?;
    files.pack(BufWriter::new(&archive), Compression::Zstd)?;
    archive.rewind()?;
    ensure!(archive.metadata()?.len() > 0, "nothing was packed");
    Ok(archive)
}

fn tell(client: &Client, step: &Value) -> Result<()> {
    let name = step["step"].as_str().unwrap_or_default();
    match name {
        "failed" => Ok(()),
        _ if client.wants_json() => crate::cli::print(&step.to_string()),
        "done" => crate::cli::print(&describe(&step["bundle"])),
        _ => crate::cli::print(&format!("{:10} {}", plain(name), cell(&step["detail"]))),
    }
}

fn describe(bundle: &Value) -> String {
    let [name, version, digest, tenant, model] =
        ["name", "version", "digest", "tenant", "model"].map(|field| cell(&bundle[field]));
    let already = if bundle["already"] == true { "was there already" } else { "is stored" };
    let stored = format!("{:10} {name} {version} {already} for tenant {tenant}: {digest}", "done");
    match &bundle["model"] {
        Value::Null => format!("{stored}\n{:10} it has no model; other bundles can use its plugins", ""),
        _ => {
            let verb = if bundle["streams"] == true { "generate_stream" } else { "infer" };
            format!("{stored}\n{:10} clients call it with POST /v2/models/{model}/versions/{version}/{verb}", "")
        }
    }
}
