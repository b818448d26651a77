//! Bundles: from files to a live pipeline.

mod activate;
mod contents;
mod labels;
mod loading;
mod manifest;
mod trial;

pub use activate::{ActivateError, Activation, Activator, Others};
pub use contents::{Bundle, ContentsError, find_bundles};
pub use manifest::{ForeignStage, Manifest, ManifestError, PluginEntry};
pub use trial::{TrialError, run_trials};
