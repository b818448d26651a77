//! `bulkhead bundle verify`: verifies a bundle's signature and files with a public key, without a host.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bulkhead_bundle::{Bounds, Digest, KeyHint, verify};
use clap::Args;
use serde::Serialize;

use crate::cli::key;

/// Check that a key signed exactly these files
///
/// Succeeds only when the key signed every file of the bundle, none is missing, none was added, and none was changed.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead bundle verify digits-1.2.0.tar.zst --key acme.pub
  bulkhead bundle verify digits --key acme.pub --json")]
pub(super) struct Verify {
    /// The folder or the archive of a bundle
    #[arg(value_name = "DIR|FILE")]
    bundle: PathBuf,
    /// The publisher's public key
    #[arg(long, value_name = "KEY.pub")]
    key: PathBuf,
    /// Print the outcome as JSON; the exit code reports it, too
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Outcome {
    verified: bool,
    key: KeyHint,
    digest: Digest,
    /// Number of signed files, without the signature itself.
    files: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Verify {
    pub(super) fn run(self) -> Result<()> {
        let key = key::read_public(&self.key)?;
        let files = super::open(&self.bundle)?;
        let (hint, digests) = (key.hint(), files.digests().len());
        let digest = files.digest();
        let verified = verify(files, &Bounds::default(), |_| Some(key));
        if self.json {
            let reason = verified.as_ref().err().map(ToString::to_string);
            let outcome = Outcome { verified: verified.is_ok(), key: hint, digest, files: digests, reason };
            crate::cli::print(&serde_json::to_string_pretty(&outcome)?)?;
        }
        verified.with_context(|| format!("{} cannot be trusted", self.bundle.display()))?;
        if self.json {
            return Ok(());
        }
        crate::cli::print(&format!("{}: signed by {hint}, {digests} files, {digest}", self.bundle.display()))
    }
}
