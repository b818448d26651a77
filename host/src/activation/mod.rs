//! Activation of bundles, from files to a live pipeline.

mod activate;
mod contents;
mod labels;
mod loading;
mod manifest;
mod trial;

pub use activate::{ActivateError, Activation, Activator, Dependencies};
pub use contents::{Bundle, ContentsError, find_bundles};
pub use manifest::{ExternalStage, Manifest, ManifestError, PluginEntry};
pub use trial::{TrialError, run_trials};
