//! Bundles: from a folder of files to a live pipeline.

mod activate;
mod folder;
mod manifest;

pub use activate::{ActivateError, Activator};
pub use folder::{Bundle, FolderError, find_bundles};
pub use manifest::{Manifest, ManifestError, PluginEntry};
