//! `bulkhead bundle verify`: verifies a bundle's signature and files with a public key, without a host.

use std::path::PathBuf;

use anyhow::Result;
use bulkhead_bundle::{Bounds, Digest, KeyHint, Refused, verify};
use clap::Args;
use serde::Serialize;

use crate::cli::key;
use crate::cli::output::{Failure, Output};

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
}

#[derive(Serialize)]
struct Outcome {
    verified: bool,
    key: KeyHint,
    digest: Digest,
    /// Number of signed files, without the signature itself.
    files: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Verify {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let key = key::read_public(&self.key)?;
        let files = super::open(&self.bundle)?;
        let (hint, digests) = (key.hint(), files.digests().len());
        let digest = files.digest();
        let verified = verify(files, &Bounds::default(), |_| Some(key));
        let (bundle, file) = (self.bundle.display(), self.key.display());
        let reason = verified.as_ref().err().map(|refused| match refused {
            Refused::UnknownKey(signer) => format!("it is signed with the key {signer}, and {file} is the key {hint}"),
            other => other.to_string(),
        });
        let outcome = Outcome { verified: verified.is_ok(), key: hint, digest, files: digests, error: reason.clone() };
        let json = serde_json::to_value(&outcome)?;
        match reason {
            Some(reason) => Err(Failure { text: format!("{bundle} cannot be trusted: {reason}"), json }.into()),
            None => output.tell(&json, |_| format!("{bundle}: signed by {hint}, {digests} files, {digest}")),
        }
    }
}
