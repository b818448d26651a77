//! Errors of activation.

use super::ContentsError;
use crate::pipeline::BuildError;
use crate::runtime::LoadError;
use crate::sandbox::ActivationError;
use crate::tenant::{Capability, NotResident};

/// Bound on the lines of a file, above any real list of classes.
pub(super) const MAX_LINES: usize = 1_000_000;

/// Bound on the bytes of a label, because a label is repeated in each response that has its class.
pub(super) const MAX_LABEL: usize = 1024;

/// A bundle cannot be served. The texts name the part, and may be shown to clients.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error("the bundle has no [pipeline], and so nothing that clients could call")]
    NoPipeline,
    #[error("plugin \"{plugin}\" asks for \"{import}\", which its publisher is not granted; granted are: {granted}")]
    NotGranted { plugin: String, import: Capability, granted: String },
    #[error("plugin \"{plugin}\": {error}")]
    Plugin { plugin: String, error: ActivationError },
    #[error("graph \"{graph}\": {error}")]
    Graph { graph: String, error: LoadError },
    #[error(transparent)]
    Pipeline(#[from] BuildError),
    #[error(transparent)]
    Contents(#[from] ContentsError),
    #[error("stage \"{stage}\": bundle {bundle} has no plugin of that name; it has: {known}")]
    UnknownForeign { stage: String, bundle: String, known: String },
    #[error(transparent)]
    Labels(#[from] LabelsError),
    #[error(transparent)]
    NotResident(#[from] NotResident),
}

/// A label file cannot be used. The texts name the file or the output.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    #[error("labels: there is no output \"{output}\"; the pipeline gives: {known}")]
    OfNothing { output: String, known: String },
    #[error("labels: {file} is not UTF-8")]
    NotText { file: String },
    #[error("labels: {file} has {lines} lines; at most {MAX_LINES} are allowed")]
    Lines { file: String, lines: usize },
    #[error("labels: line {line} of {file} has {bytes} bytes; at most {MAX_LABEL} are allowed")]
    Long { file: String, line: usize, bytes: usize },
}
