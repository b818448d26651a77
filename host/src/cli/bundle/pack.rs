//! `bulkhead bundle pack`: packs a bundle's folder into an archive.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bulkhead_bundle::{Compression, SIGNATURE};
use clap::Args;
use serde_json::json;

use crate::cli::output::Output;
use crate::config::format_bytes;

/// Pack a bundle's folder into one file
///
/// The same files always give the same archive, byte for byte. Sign the folder first: the archive includes the signature.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead bundle pack digits -o digits-1.2.0.tar.zst
  bulkhead bundle pack digits -o digits-1.2.0.tar.gz")]
pub(super) struct Pack {
    /// The folder with bundle.toml in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The archive: .tar, .tar.gz, .tgz or .tar.zst
    #[arg(short, long, value_name = "FILE", value_parser = archive)]
    output: Archive,
    /// Replace an archive that is there already
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone)]
struct Archive {
    path: PathBuf,
    compression: Compression,
}

impl Pack {
    pub(super) fn run(self, told: Output) -> Result<()> {
        let output = &self.output.path;
        super::check_folder(&self.folder)?;
        ensure!(!lies_in(output, &self.folder), "{}: write the archive outside of the bundle", output.display());
        ensure!(self.overwrite || output.symlink_metadata().is_err(), super::taken(output));
        let (manifest, files) = super::read(&self.folder)?.into_parts();
        let bar = super::progress_bar("packing", files.total_bytes());
        super::write_whole(output, self.overwrite, |file| {
            files.pack_watched(BufWriter::new(file), self.output.compression, &|bytes| bar.inc(bytes))
        })?;
        bar.finish_and_clear();
        let (name, version) = (&manifest.bundle.name, &manifest.bundle.version);
        let bytes = output.metadata().with_context(|| output.display().to_string())?.len();
        let (number, digest, signed) = (files.iter().len(), files.digest(), files.get(SIGNATURE).is_some());
        let archive = output.display().to_string();
        let outcome = json!({
            "name": name, "version": version, "digest": digest, "files": number, "archive": archive, "bytes": bytes,
            "signed": signed,
        });
        told.tell(&outcome, |_| {
            let unsigned = if signed { "" } else { " (not signed)" };
            format!(
                "packed {name} {version}{unsigned} into {archive}: {number} files, {}, {digest}",
                format_bytes(bytes)
            )
        })
    }
}

fn archive(path: &str) -> Result<Archive, String> {
    let compression = Compression::of_name(path).ok_or("its name must end with .tar, .tar.gz, .tgz or .tar.zst")?;
    Ok(Archive { path: path.into(), compression })
}

/// True if `path` is inside `folder`, where the archive would become a part of the bundle when it is packed again.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let (place, folder) = (super::folder_of(path).canonicalize(), folder.canonicalize());
    matches!((place, folder), (Ok(place), Ok(folder)) if place.starts_with(&folder))
}
