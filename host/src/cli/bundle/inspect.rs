//! `bulkhead bundle inspect`: shows a bundle's manifest and files, without verifying them.

use std::fmt::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use bulkhead_bundle::{Bounds, Digest, Files, KeyHint, claimed_key};
use clap::Args;
use serde::Serialize;

use crate::activation::{Manifest, PluginEntry};
use crate::cli::output::{Output, plain};

/// Show what a bundle contains and which imports it asks for
///
/// Shows the bundle's own claims. No signature is verified: that is what verify does.
#[derive(Args)]
#[command(after_help = "Examples:
  bulkhead bundle inspect digits-1.2.0.tar.zst
  bulkhead bundle inspect digits --json | jq '.plugins[].imports'")]
pub(super) struct Inspect {
    /// The folder or the archive of a bundle
    #[arg(value_name = "DIR|FILE")]
    bundle: PathBuf,
}

#[derive(Serialize)]
struct Contents {
    name: String,
    version: String,
    description: String,
    license: String,
    digest: Digest,
    /// Hint of the key that the bundle claims to be signed with.
    signed_by_unverified: Option<KeyHint>,
    /// The reason why the bundle names no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_problem: Option<String>,
    model: Option<String>,
    stages: Vec<String>,
    plugins: Vec<Plugin>,
    graphs: Vec<Graph>,
    files: Vec<FileEntry>,
}

#[derive(Serialize)]
struct Plugin {
    name: String,
    component: String,
    imports: Vec<String>,
    assets: Vec<String>,
    /// The reason why a host would refuse the component's imports.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

#[derive(Serialize)]
struct Graph {
    name: String,
    file: String,
}

#[derive(Serialize)]
struct FileEntry {
    path: String,
    bytes: usize,
    digest: Digest,
}

impl Inspect {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let (manifest, files) = super::read(&self.bundle)?.into_parts();
        let contents = Contents::of(&files, manifest);
        output.tell(&serde_json::to_value(&contents)?, |_| contents.to_string().trim_end().to_owned())
    }
}

impl Contents {
    fn of(files: &Files, manifest: Manifest) -> Contents {
        let signature = claimed_key(files, &Bounds::default());
        let model = manifest.pipeline.is_some().then(|| manifest.model_name().to_owned());
        let stages = manifest.pipeline.iter().flat_map(|pipeline| &pipeline.stages);
        Contents {
            stages: stages.map(|stage| stage.name().to_owned()).collect(),
            model,
            digest: files.digest(),
            signed_by_unverified: signature.as_ref().ok().copied(),
            signature_problem: signature.err().map(|problem| problem.to_string()),
            plugins: manifest.plugins.into_iter().map(|plugin| Plugin::of(plugin, files)).collect(),
            graphs: manifest.graphs.into_iter().map(|graph| Graph { name: graph.name, file: graph.file }).collect(),
            files: files.iter().map(|(path, content)| FileEntry::of(path, content)).collect(),
            name: manifest.bundle.name,
            version: manifest.bundle.version.to_string(),
            description: manifest.bundle.description,
            license: manifest.bundle.license,
        }
    }
}

impl Plugin {
    fn of(plugin: PluginEntry, files: &Files) -> Plugin {
        let refused = super::refused_component(&plugin, files);
        let PluginEntry { name, component, imports, assets, .. } = plugin;
        Plugin { name, component, imports, assets, refused }
    }
}

impl FileEntry {
    fn of(path: &str, content: &[u8]) -> FileEntry {
        FileEntry { path: path.to_owned(), bytes: content.len(), digest: Digest::of(content) }
    }
}

/// Text for a terminal. Texts from the bundle are escaped, so that they cannot control the terminal.
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.name, self.version)?;
        for (what, text) in [("description", &self.description), ("license", &self.license)] {
            if !text.is_empty() {
                line(f, what, text)?;
            }
        }
        line(f, "digest", &self.digest.to_string())?;
        match (&self.signed_by_unverified, &self.signature_problem) {
            (Some(key), _) => line(f, "signed by", &format!("{key} (not verified)"))?,
            (None, problem) => line(f, "signed by", problem.as_deref().unwrap_or("nobody"))?,
        }
        if let Some(model) = &self.model {
            line(f, "model", &format!("{model}: {}", self.stages.join(", ")))?;
        }
        for plugin in &self.plugins {
            line(f, "plugin", &plugin.to_string())?;
            if let Some(refused) = &plugin.refused {
                line(f, "", &format!("a host will refuse it: {refused}"))?;
            }
        }
        for graph in &self.graphs {
            line(f, "graph", &format!("{} ({})", graph.name, graph.file))?;
        }
        let width = self.files.iter().map(|file| file.bytes.to_string().len()).max().unwrap_or_default();
        for file in &self.files {
            line(f, "file", &format!("{}  {:>width$}  {}", file.digest, file.bytes, file.path))?;
        }
        Ok(())
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asks = if self.imports.is_empty() { "nothing".to_owned() } else { self.imports.join(", ") };
        write!(f, "{} ({}) asks for {asks}", self.name, self.component)?;
        if self.assets.is_empty() { Ok(()) } else { write!(f, "; reads {}", self.assets.join(", ")) }
    }
}

fn line(f: &mut impl Write, what: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {what:12} {}", plain(text))
}
