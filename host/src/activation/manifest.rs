//! The manifest of a bundle, `bundle.toml`: its name, its contents, and the capabilities that it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use semver::{Version, VersionReq};
use serde::{Deserialize, Deserializer, de};

use super::trial::TrialEntry;
use crate::runtime::InputShapes;
use crate::tenant::Capability;

/// A parsed manifest whose parts agree with each other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub bundle: Identity,
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<PluginEntry>,
    #[serde(default, rename = "graph")]
    pub graphs: Vec<GraphEntry>,
    /// Makes the bundle a model that clients can call.
    pub pipeline: Option<PipelineEntry>,
    /// Requests that the model must answer as expected before it is served.
    #[serde(default, rename = "trial")]
    pub trials: Vec<TrialEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `publisher/name`.
    pub name: String,
    #[serde(deserialize_with = "read_version")]
    pub version: Version,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub license: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginEntry {
    pub name: String,
    /// The file of the component.
    pub component: String,
    /// Capabilities that it asks for; tensors need none.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Files of the bundle that it may read.
    #[serde(default)]
    pub assets: Vec<String>,
    /// True if calls start from a snapshot of the state that `init` leaves; false if each call runs `init` again.
    #[serde(default = "yes")]
    pub snapshot: bool,
    /// The configuration, passed to `init` as JSON.
    #[serde(default)]
    pub config: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphEntry {
    pub name: String,
    /// The model file.
    pub file: String,
    /// Shapes for inputs whose shapes in the file are not sufficient; -1 marks a dimension that varies.
    #[serde(default)]
    pub inputs: InputShapes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineEntry {
    /// The name that clients use; by default the part of the bundle's name after the slash.
    pub model: Option<String>,
    pub stages: Vec<StageEntry>,
    /// Label files by output, for outputs that hold a score for each class. A file has one label a line.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The name of a plugin or graph of the bundle, or of another bundle's plugin as in `acme/labels:top-k@^1`; alone, or with
/// other names for its tensors.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum StageEntry {
    Name(String),
    Renamed(RenamedStage),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenamedStage {
    pub stage: String,
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
}

/// A plugin of another bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalStage {
    /// The stage's text in the manifest.
    pub text: String,
    pub bundle: String,
    pub plugin: String,
    pub versions: VersionReq,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("bundle.toml: {0}")]
    Syntax(String),
    #[error("bundle.toml: the bundle's name \"{0}\" must be publisher/name, in lowercase letters, digits and dashes")]
    Name(String),
    #[error("bundle.toml: \"{0}\" is the name of two plugins or graphs")]
    Twice(String),
    #[error("bundle.toml: the name \"{0}\" of a {1} must have only letters, digits, dashes and underscores")]
    PartName(String, &'static str),
    #[error("bundle.toml: stage \"{stage}\" is neither a plugin nor a graph of the bundle; there are: {known}")]
    UnknownStage { stage: String, known: String },
    #[error("bundle.toml: plugin \"{plugin}\" asks for \"{import}\"; there are: {known}")]
    UnknownImport { plugin: String, import: String, known: String },
    #[error("bundle.toml: stage \"{0}\" must be bundle:plugin@version, as in acme/labels:top-k@^1")]
    ExternalStage(String),
    #[error("bundle.toml: trials need a [pipeline] that they can run")]
    TrialsOfNothing,
    #[error("bundle.toml: the path \"{0}\" must be relative, and stay in the bundle's folder")]
    Path(String),
    #[error("bundle.toml: it has {count} {what}; at most {bound} are allowed")]
    TooMany { what: String, count: usize, bound: usize },
}

/// Bounds on the number of parts: each part is loaded or run at every start, and real bundles have a handful.
const MAX_STAGES: usize = 64;
const MAX_PLUGINS: usize = 64;
const MAX_GRAPHS: usize = 64;
const MAX_TRIALS: usize = 64;
const MAX_ASSETS: usize = 256;
const MAX_LABELLED: usize = 64;

fn yes() -> bool {
    true
}

/// A version as people write it.
pub fn parse_version(text: &str) -> Result<Version, String> {
    Version::parse(text).map_err(|_| {
        format!("\"{text}\" is not a version; write three numbers, such as 1.0.0, or a pre-release such as 1.1.0-rc.1")
    })
}

fn read_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    parse_version(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let manifest: Manifest =
            toml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string().trim_end().into()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The name that clients use for the model.
    pub fn model_name(&self) -> &str {
        let given = self.pipeline.as_ref().and_then(|pipeline| pipeline.model.as_deref());
        given.unwrap_or_else(|| self.bundle.name.rsplit('/').next().unwrap_or_default())
    }

    /// The names of its stages, in order.
    pub fn stages(&self) -> impl Iterator<Item = &str> {
        self.pipeline.iter().flat_map(|pipeline| &pipeline.stages).map(StageEntry::name)
    }

    /// Stages that are plugins of other bundles.
    pub fn external_stages(&self) -> impl Iterator<Item = ExternalStage> + '_ {
        self.stages().filter_map(|stage| ExternalStage::parse(stage).ok())
    }

    /// All capabilities that its plugins ask for.
    pub fn imports(&self) -> BTreeSet<Capability> {
        self.plugins.iter().flat_map(PluginEntry::capabilities).collect()
    }

    /// Every file that the manifest names.
    pub fn files(&self) -> BTreeSet<&str> {
        let components = self.plugins.iter().map(|plugin| plugin.component.as_str());
        let assets = self.plugins.iter().flat_map(|plugin| plugin.assets.iter().map(String::as_str));
        let graphs = self.graphs.iter().map(|graph| graph.file.as_str());
        let labels = self.pipeline.iter().flat_map(|pipeline| pipeline.labels.values().map(String::as_str));
        let tensors = self.trials.iter().flat_map(|trial| trial.inputs.values().chain(trial.outputs.values()));
        components
            .chain(assets)
            .chain(graphs)
            .chain(labels)
            .chain(tensors.filter_map(|tensor| tensor.file.as_deref()))
            .collect()
    }

    fn check(&self) -> Result<(), ManifestError> {
        self.check_numbers()?;
        check_bundle_name(&self.bundle.name)?;
        if let Some(model) = self.pipeline.as_ref().and_then(|pipeline| pipeline.model.as_ref()) {
            check_part_name(model, "model")?;
        }
        let mut names = BTreeSet::new();
        let plugins = self.plugins.iter().map(|plugin| (plugin.name.as_str(), "plugin"));
        for (name, what) in plugins.chain(self.graphs.iter().map(|graph| (graph.name.as_str(), "graph"))) {
            check_part_name(name, what)?;
            if !names.insert(name) {
                return Err(ManifestError::Twice(name.into()));
            }
        }
        self.files().into_iter().try_for_each(check_path)?;
        self.plugins.iter().try_for_each(PluginEntry::check_imports)?;
        let known = || names.iter().copied().collect::<Vec<_>>().join(", ");
        for stage in self.stages() {
            if stage.contains(':') {
                ExternalStage::parse(stage)?;
            } else if !names.contains(stage) {
                return Err(ManifestError::UnknownStage { stage: stage.into(), known: known() });
            }
        }
        if self.pipeline.is_none() && !self.trials.is_empty() {
            return Err(ManifestError::TrialsOfNothing);
        }
        Ok(())
    }

    /// Checks the number of each kind of part.
    fn check_numbers(&self) -> Result<(), ManifestError> {
        let (stages, labelled) =
            self.pipeline.as_ref().map_or((0, 0), |pipeline| (pipeline.stages.len(), pipeline.labels.len()));
        check_number("plugins", self.plugins.len(), MAX_PLUGINS)?;
        check_number("graphs", self.graphs.len(), MAX_GRAPHS)?;
        check_number("stages", stages, MAX_STAGES)?;
        check_number("outputs with labels", labelled, MAX_LABELLED)?;
        check_number("trials", self.trials.len(), MAX_TRIALS)?;
        self.plugins.iter().try_for_each(|plugin| {
            check_number(&format!("assets of plugin \"{}\"", plugin.name), plugin.assets.len(), MAX_ASSETS)
        })
    }
}

impl ExternalStage {
    pub fn parse(text: &str) -> Result<ExternalStage, ManifestError> {
        let parse = || {
            let (bundle, rest) = text.split_once(':')?;
            let (plugin, versions) = rest.split_once('@')?;
            check_bundle_name(bundle).ok()?;
            check_part_name(plugin, "plugin").ok()?;
            let versions = VersionReq::parse(versions).ok()?;
            Some(ExternalStage { text: text.into(), bundle: bundle.into(), plugin: plugin.into(), versions })
        };
        parse().ok_or_else(|| ManifestError::ExternalStage(text.into()))
    }
}

impl PluginEntry {
    /// The capabilities that it asks for.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> + '_ {
        self.imports.iter().filter_map(|import| Capability::from_name(import))
    }

    fn check_imports(&self) -> Result<(), ManifestError> {
        let Some(import) = self.imports.iter().find(|import| Capability::from_name(import).is_none()) else {
            return Ok(());
        };
        let known = Capability::ALL.map(Capability::name).join(", ");
        Err(ManifestError::UnknownImport { plugin: self.name.clone(), import: import.clone(), known })
    }
}

impl StageEntry {
    pub fn name(&self) -> &str {
        match self {
            StageEntry::Name(name) => name,
            StageEntry::Renamed(renamed) => &renamed.stage,
        }
    }
}

fn check_number(what: &str, count: usize, bound: usize) -> Result<(), ManifestError> {
    if count <= bound { Ok(()) } else { Err(ManifestError::TooMany { what: what.into(), count, bound }) }
}

/// True for a name of 1 to 64 lowercase letters, digits and `extra` characters: names appear in URLs, log lines and
/// metrics.
fn is_name(name: &str, extra: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

fn check_bundle_name(name: &str) -> Result<(), ManifestError> {
    match name.split_once('/') {
        Some((publisher, bundle)) if is_name(publisher, "-") && is_name(bundle, "-") => Ok(()),
        _ => Err(ManifestError::Name(name.into())),
    }
}

fn check_part_name(name: &str, what: &'static str) -> Result<(), ManifestError> {
    let fits = is_name(&name.to_ascii_lowercase(), "-_");
    if fits { Ok(()) } else { Err(ManifestError::PartName(name.into(), what)) }
}

fn check_path(path: &str) -> Result<(), ManifestError> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if inside && !path.is_empty() { Ok(()) } else { Err(ManifestError::Path(path.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [bundle]
        name = "acme/digits"
        version = "1.2.0"
        [[plugin]]
        name = "to-tensor"
        component = "to-tensor.wasm"
        imports = ["assets"]
        assets = ["labels.txt"]
        [plugin.config]
        side = 28
        [[graph]]
        name = "cnn"
        file = "cnn.onnx"
        [pipeline]
        stages = ["to-tensor", { stage = "cnn", inputs = { x = "image" } }]
    "#;

    #[test]
    fn reads_the_whole_of_a_manifest() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.model_name(), "digits");
        assert_eq!(manifest.files().into_iter().collect::<Vec<_>>(), ["cnn.onnx", "labels.txt", "to-tensor.wasm"]);
        assert_eq!(manifest.plugins[0].capabilities().collect::<Vec<_>>(), [Capability::Assets]);
    }

    #[test]
    fn refuses_manifests_with_mistakes() {
        for (from, to, wanted) in [
            ("acme/digits", "digits", "publisher/name"),
            ("acme/digits", "acme/../x", "publisher/name"),
            ("\"cnn\"\n", "\"to-tensor\"\n", "two plugins or graphs"),
            ("\"labels.txt\"", "\"../labels.txt\"", "stay in the bundle's folder"),
            ("\"labels.txt\"", "\"/etc/passwd\"", "stay in the bundle's folder"),
            ("[\"assets\"]", "[\"network\"]", "asks for \"network\""),
            ("stages = [\"to-tensor\"", "stages = [\"other\"", "neither a plugin nor a graph"),
            ("side = 28", "side = ", "bundle.toml"),
            ("1.2.0", "1.2", "\"1.2\" is not a version; write three numbers"),
            ("1.2.0", "v1.2.0", "\"v1.2.0\" is not a version; write three numbers"),
            ("file = ", "path = ", "unknown field `path`"),
        ] {
            let error = Manifest::parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn there_are_only_so_many_of_each_part() {
        let many =
            |part: &str, count: usize| (0..count).map(|at| part.replace('#', &at.to_string())).collect::<String>();
        let more = |part: &str, count: usize| format!("{GOOD}\n{}", many(part, count));
        let inside = |place: &str, part: &str, count: usize| GOOD.replacen(place, &many(part, count), 1);
        type Make<'a> = &'a dyn Fn(usize) -> String;
        let cases: [(&str, usize, usize, Make); 6] = [
            ("plugins", 64, 63, &|count| more("[[plugin]]\nname = \"p#\"\ncomponent = \"p.wasm\"\n", count)),
            ("graphs", 64, 63, &|count| more("[[graph]]\nname = \"g#\"\nfile = \"g.onnx\"\n", count)),
            ("trials", 64, 64, &|count| more("[[trial]]\nname = \"t#\"\n", count)),
            ("stages", 64, 63, &|count| inside("\"to-tensor\", ", "\"to-tensor\", ", count)),
            ("assets of plugin \"to-tensor\"", 256, 256, &|count| inside("\"labels.txt\"", "\"a#\", ", count)),
            ("outputs with labels", 64, 64, &|count| more("[pipeline.labels]\n", 1) + &many("o# = \"l\"\n", count)),
        ];
        for (what, bound, fits, make) in cases {
            Manifest::parse(&make(fits)).unwrap();
            let error = Manifest::parse(&make(fits + 1)).unwrap_err().to_string();
            let wanted = format!("it has {} {what}; at most {bound} are allowed", bound + 1);
            assert!(error.contains(&wanted), "{wanted} not in: {error}");
        }
    }
}
