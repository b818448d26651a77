//! `bulkhead bundle pack`.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bulkhead_bundle::{Compression, SIGNATURE};
use clap::Args;

/// Make one file of a bundle's folder
///
/// The same files give the same bytes, whoever packs them, when and where. Sign the folder first: the archive carries
/// the signature with it.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead bundle pack digits -o digits-1.2.0.tar.zst
  bulkhead bundle pack digits -o digits-1.2.0.tar.gz")]
pub struct Pack {
    /// The folder with bundle.toml in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The archive: .tar, .tar.gz, .tgz or .tar.zst
    #[arg(short, long, value_name = "FILE", value_parser = archive)]
    output: Archive,
}

#[derive(Clone)]
struct Archive {
    path: PathBuf,
    compression: Compression,
}

impl Pack {
    pub fn run(self) -> Result<()> {
        let output = &self.output.path;
        ensure!(self.folder.is_dir(), "{} is no folder", self.folder.display());
        ensure!(!lies_in(output, &self.folder), "{}: write the archive outside of the bundle", output.display());
        let (manifest, files) = super::read(&self.folder)?.into_parts();
        let bar = super::progress_bar("packing", files.total_bytes());
        super::write_whole(output, |file| {
            files.pack_watched(BufWriter::new(file), self.output.compression, &|bytes| bar.inc(bytes))
        })?;
        bar.finish_and_clear();
        let (name, version) = (&manifest.bundle.name, &manifest.bundle.version);
        let bytes = output.metadata().with_context(|| output.display().to_string())?.len();
        let sizes = format!("{} files, {bytes} bytes, {}", files.iter().len(), files.digest());
        let unsigned = if files.get(SIGNATURE).is_some() { "" } else { " (not signed)" };
        crate::cli::print(&format!("packed {name} {version}{unsigned} into {}: {sizes}", output.display()))
    }
}

fn archive(path: &str) -> Result<Archive, String> {
    let compression = Compression::of_name(path).ok_or("its name must end with .tar, .tar.gz, .tgz or .tar.zst")?;
    Ok(Archive { path: path.into(), compression })
}

/// An archive in the folder would be a part of the bundle the next time.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let (place, folder) = (super::folder_of(path).canonicalize(), folder.canonicalize());
    matches!((place, folder), (Ok(place), Ok(folder)) if place.starts_with(&folder))
}
