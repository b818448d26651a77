//! `bulkhead bundle sign`: signs a bundle's folder with a private key.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bulkhead_bundle::{Bounds, SIGNATURE, sign, verify};
use clap::Args;
use serde_json::json;

use crate::cli::key;
use crate::cli::output::{Output, plain};

/// Sign a bundle's folder with your key
///
/// Writes bundle.sig, in the OpenSSF Model Signing format, over all other files of the folder. Anyone who has your public
/// key can verify it, with this program or with model_signing.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead bundle sign digits --key acme.pem
  model_signing verify key digits --public_key acme.pub --signature digits/bundle.sig")]
pub(super) struct Sign {
    /// The folder with bundle.toml in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Your private key, made by `bulkhead key new`
    #[arg(long, value_name = "KEY.pem")]
    key: PathBuf,
}

impl Sign {
    pub(super) fn run(self, output: Output) -> Result<()> {
        super::check_folder(&self.folder)?;
        let key = key::read_private(&self.key)?;
        let (manifest, files) = super::read(&self.folder)?.into_parts();
        let (name, version) = (&manifest.bundle.name, &manifest.bundle.version);
        for warning in super::stowaways::warnings(&files) {
            eprintln!("bulkhead: warning: {}", plain(&warning));
        }
        for plugin in &manifest.plugins {
            if let Some(refused) = super::refused_component(plugin, &files) {
                eprintln!("bulkhead: warning: plugin \"{}\" will be refused: {}", plugin.name, plain(&refused));
            }
        }
        let signature = sign(&files, name, &key)?;
        let signed = files.with_signature(signature.clone());
        let verified = verify(signed, &Bounds::default(), |_| Some(key.public_key().clone()))
            .context("the new signature could not be verified")?;
        super::write_whole(&self.folder.join(SIGNATURE), true, |file| file.write_all(&signature))?;
        let files = verified.files().iter().len() - 1;
        let (digest, key) = (verified.digest(), verified.key());
        let outcome = json!({ "name": name, "version": version, "digest": digest, "files": files, "key": key });
        output.tell(&outcome, |_| format!("signed {name} {version} with the key {key}: {files} files, {digest}"))
    }
}
