//! `cargo xtask bundles`, and the assembly of bundles: a manifest and every file that it names are copied into one folder,
//! from the places where the repository keeps them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{Workspace, run, step};

/// Build the plugins and assemble the examples' bundles into a folder
#[derive(clap::Args)]
pub(crate) struct Bundles {
    /// The folder to put them in [default: models in the target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Bundles {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        workspace.build_plugins()?;
        let output = self.output.unwrap_or_else(|| workspace.target.join("models"));
        let examples = Example::all(&workspace)?;
        for example in &examples {
            example.assemble(&workspace, &output)?;
        }
        println!("{}", output.display());
        Ok(())
    }
}

/// A bundle among the examples.
pub(crate) struct Example {
    name: &'static str,
    manifest: &'static str,
    /// Folders that contain the files that the manifest names, other than built components.
    sources: Vec<PathBuf>,
}

impl Example {
    pub(crate) fn digits(workspace: &Workspace) -> Vec<Example> {
        let digits = workspace.root.join("examples/digits");
        vec![
            Example { name: "digits", manifest: "examples/digits/bundle.toml", sources: vec![digits.clone()] },
            Example { name: "digits-shifted", manifest: "examples/digits/shifted/bundle.toml", sources: vec![digits] },
        ]
    }

    /// An example whose model is fetched, because the model belongs to others and is not in the repository.
    fn fetched(workspace: &Workspace, name: &'static str, manifest: &'static str) -> Result<Example> {
        let fetched = workspace.target.join(name);
        let fetch = workspace.root.join("examples").join(name).join("fetch.py");
        run(Command::new("python3").arg(fetch).arg(&fetched))?;
        Ok(Example { name, manifest, sources: vec![fetched] })
    }

    /// The bundles of the comparison with another server.
    pub(crate) fn peers(workspace: &Workspace) -> Vec<Example> {
        let sources = vec![workspace.root.join("benches/peers")];
        let example = |name, manifest| Example { name, manifest, sources: sources.clone() };
        vec![
            example("ensemble", "benches/peers/bulkhead/ensemble.toml"),
            example("image", "benches/peers/bulkhead/image.toml"),
        ]
    }

    pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Example>> {
        let mut all = Self::digits(workspace);
        all.push(Self::fetched(workspace, "file-type", "examples/file-type/bundle.toml")?);
        all.push(Self::fetched(workspace, "romanize", "examples/romanize/bundle.toml")?);
        Ok(all)
    }

    pub(crate) fn assemble(&self, workspace: &Workspace, output: &Path) -> Result<()> {
        step(&format!("assembling the bundle {}", self.name));
        assemble(workspace, &workspace.root.join(self.manifest), &self.sources, &output.join(self.name))
    }
}

/// Copies the manifest, and each file that it names from the first folder that has it.
fn assemble(workspace: &Workspace, manifest: &Path, sources: &[PathBuf], bundle: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(bundle);
    fs::create_dir_all(bundle)?;
    let text = fs::read_to_string(manifest).with_context(|| manifest.display().to_string())?;
    fs::write(bundle.join("bundle.toml"), &text)?;
    for file in named_files(&text)? {
        // Cargo names a component after its crate, with underscores.
        let component = workspace.components().join(file.replace('-', "_"));
        let candidates = sources.iter().map(|source| source.join(&file)).chain([component]);
        let Some(found) = candidates.into_iter().find(|path| path.is_file()) else {
            bail!("{} names {file}, which was not found", manifest.display());
        };
        let place = bundle.join(&file);
        fs::create_dir_all(place.parent().unwrap_or(bundle))?;
        fs::copy(found, place)?;
    }
    Ok(())
}

fn named_files(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let entries = |key: &str| manifest.get(key).and_then(toml::Value::as_array).into_iter().flatten();
    let text = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
    let assets =
        |plugin: &toml::Value| plugin.get("assets").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let components = entries("plugin").filter_map(|plugin| text(plugin.get("component")));
    let graphs = entries("graph").filter_map(|graph| text(graph.get("file")));
    let assets = entries("plugin").flat_map(assets).filter_map(|asset| text(Some(&asset)));
    Ok(components.chain(graphs).chain(assets).collect())
}

/// Assembles the hostile guests of the tests. Guests in text format are wrapped into components first.
pub(crate) fn hostile(workspace: &Workspace, output: &Path) -> Result<()> {
    step("assembling the hostile bundles");
    let cases = workspace.root.join("tests/hostile/cases");
    let wrapped = workspace.target.join("hostile-components");
    let mut wrap = crate::setup::cargo();
    wrap.current_dir(&workspace.root).args(["run", "--quiet", "--release", "--package", "hostile-wrap", "--"]);
    run(wrap.arg(&cases).arg(&wrapped))?;
    for case in fs::read_dir(&cases)? {
        let case = case?.path();
        let name = case.file_name().unwrap_or_default();
        assemble(workspace, &case.join("bundle.toml"), &[wrapped.join(name), case.clone()], &output.join(name))?;
    }
    Ok(())
}
