//! `bulkhead key`: creates the keys with which publishers sign bundles.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bulkhead_bundle::{Curve, PublicKey, SigningKey, Zeroizing};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::output::Output;
use crate::numbers::to_usize;

const MAX_KEY_BYTES: u64 = 16 << 10;

/// Create keys to sign bundles with
#[derive(Args)]
pub(super) struct Key {
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    New(New),
}

/// Create a key: NAME.pem, the private key, to keep secret, and NAME.pub, the public key, to give to operators
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead key new acme
  bulkhead key new ~/keys/acme-2027 --curve p384")]
struct New {
    /// Path of the two files, without their extensions; existing files are not overwritten. It need not be the publisher's
    /// name, which stands in bundle.toml (`name = "acme/…"`)
    name: PathBuf,
    /// ECDSA over P-256 with SHA-256, or over P-384 with SHA-384
    #[arg(long, value_enum, default_value_t = CurveName::P256)]
    curve: CurveName,
}

#[derive(Clone, Copy, ValueEnum)]
enum CurveName {
    P256,
    P384,
}

impl Key {
    pub(super) fn run(self) -> Result<()> {
        match self.command {
            Command::New(new) => new.run(self.output),
        }
    }
}

impl New {
    fn run(self, output: Output) -> Result<()> {
        let (private, public) = (with_ending(&self.name, ".pem"), with_ending(&self.name, ".pub"));
        if let Some(taken) = [&private, &public].into_iter().find(|path| path.symlink_metadata().is_ok()) {
            bail!("{} already exists, and a lost key cannot be recovered: choose another name", taken.display());
        }
        let key = SigningKey::generate(match self.curve {
            CurveName::P256 => Curve::P256,
            CurveName::P384 => Curve::P384,
        })?;
        create(&private, 0o600, &key.to_pem()?)?;
        if let Err(error) = create(&public, 0o644, key.public_key().to_pem()) {
            // A private key without its public key is of no use.
            let _ = fs::remove_file(&private);
            return Err(error);
        }
        let (private, public, hint) = (private.display(), public.display(), key.public_key().hint());
        let outcome = json!({ "key": hint, "private": private.to_string(), "public": public.to_string() });
        output.tell(&outcome, |_| {
            format!("key {hint}\n  {private} signs: keep it secret\n  {public} verifies: give it to operators, with the publisher's name that your bundles have")
        })
    }
}

pub(super) fn read_private(path: &Path) -> Result<SigningKey> {
    SigningKey::from_pem(&read(path)?).with_context(|| path.display().to_string())
}

pub(super) fn read_public(path: &Path) -> Result<PublicKey> {
    PublicKey::from_pem(&read(path)?).with_context(|| path.display().to_string())
}

/// Reads a key file. The text is wiped from memory when it is dropped; at most one byte more than `MAX_KEY_BYTES` is read,
/// whatever the size of the file.
fn read(path: &Path) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(to_usize(MAX_KEY_BYTES) + 1));
    let read = File::open(path).and_then(|file| file.take(MAX_KEY_BYTES + 1).read_to_string(&mut text));
    read.with_context(|| path.display().to_string())?;
    Ok(text)
}

fn create(path: &Path, mode: u32, content: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("{} cannot be created", path.display()))?;
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Appends the extension instead of replacing one, because the name may contain dots.
fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(name);
    path.push(ending);
    path.into()
}
