//! Activation of bundles, from files to a live pipeline.

mod activate;
mod contents;
mod error;
mod labels;
mod loading;
mod manifest;
mod trial;

use std::sync::Arc;

use crate::runtime::Runners;
use crate::sandbox::Sandbox;
use crate::telemetry::Metrics;
use crate::worker::Workers;

pub use activate::{Activation, Dependencies};
pub use contents::{Bundle, ContentsError, find_bundles};
pub use error::ActivateError;
pub use manifest::{ExternalStage, Manifest, ManifestError, PluginEntry, parse_version};
pub use trial::{TrialError, run_trials};

/// The parts of the host that activation uses.
pub struct Activator {
    pub sandbox: Sandbox,
    pub workers: Workers,
    /// The processes that graphs run in; `None` if they run in this process.
    pub runners: Option<Runners>,
    pub metrics: Arc<Metrics>,
}
