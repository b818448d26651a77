//! Administrative acts: the operator decides whom to trust, who may call, and what is served. Each act is one change. It is
//! checked against the state, written together with its line of the audit log, and visible only afterwards; then what is
//! live is reconciled with the stored state. Acts are short and block, so they run one at a time, on threads that may wait
//! for the disk: they are methods of [`BlockingControl`].

mod blocking;
mod bundles;
mod claims;
mod error;
mod follow;
mod model_bounds;
mod models;
mod names;
mod owner;
mod publish;
mod publishers;
mod reconcile;
mod records;
mod staging;
mod state;
mod tenants;
mod trials;
mod trust;
mod upload;
mod upload_checks;
mod usage;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bulkhead_bundle::Bounds;
use bulkhead_store::{Corrupt, DataFolder};

use crate::activation::Activator;
use crate::catalog::Catalog;
use crate::config::{Bundles, Config, TenantLimits};
use crate::sandbox::ACTIVATION_SLOTS;
use crate::scheduler::{Compute, Turns};
use crate::tenant::{Directory, Resident};
use blocking::Storage;

pub use blocking::BlockingControl;
pub use error::ControlError;
pub use models::{ModelStatus, Serving, VersionState, VersionStatus};
pub use owner::Owner;
pub use publishers::TrustRequest;
pub use records::{
    BundleState, KeyRecord, ModelSettings, Policy, Publisher, StoredBundle, StoredFile, TenantRecord, Timestamp,
    TrustedKey, Used,
};
pub use staging::{Progress, Uploaded};
pub use tenants::{NewKey, TenantStatus};
pub use trials::Trials;

/// The state that an operator can change, and the live parts of the host that follow from it.
pub struct Control {
    storage: Storage,
    directory: Arc<Directory>,
    catalog: Arc<Catalog>,
    compute: Arc<Compute>,
    activator: Activator,
    /// Memory of all loaded versions.
    resident: Resident,
    /// The limits of a tenant, where it was not given limits of its own.
    defaults: TenantLimits,
    uploads: Bundles,
    bounds: Bounds,
    /// Bound on the time in which all trials of a bundle together must have begun.
    trial_time: Duration,
    /// Entries of the audit log that stay in the database.
    audit_entries: u64,
    /// True if unsigned bundles may be served (`serve --dev`).
    dev: bool,
    /// Turns for uploads that are unpacked and activated.
    upload_turns: Turns,
    /// Turns for bundles that are activated, by uploads and by loads.
    activations: Turns,
}

/// The name of the caller that performs an act, for the audit log.
pub type Actor = Arc<str>;

/// The parts that a [`Control`] is made of.
pub struct Parts {
    pub folder: DataFolder,
    pub directory: Arc<Directory>,
    pub catalog: Arc<Catalog>,
    pub compute: Arc<Compute>,
    pub activator: Activator,
}

impl Control {
    /// Reads the state. Documents that are damaged are returned by name, and all others are loaded.
    pub fn open(config: &Config, parts: Parts) -> Result<(Arc<Control>, Vec<Corrupt>), ControlError> {
        let Parts { folder, directory, catalog, compute, activator } = parts;
        let (storage, damaged) = Storage::open(folder)?;
        let control = Control {
            storage,
            directory,
            catalog,
            compute,
            activator,
            resident: Resident::new(config.bundles.resident_bytes),
            defaults: config.tenant.clone(),
            uploads: config.bundles.clone(),
            bounds: bounds(&config.bundles),
            trial_time: config.init.time,
            audit_entries: config.audit_entries,
            dev: config.dev,
            upload_turns: Turns::all_but_one(config.bundles.uploads),
            activations: Turns::all_but_one(ACTIVATION_SLOTS as usize),
        };
        let control = control.before_serving(|control| {
            control.remove_strays()?;
            control.note_imports();
            control.ensure_default_tenant()
        })?;
        Ok((control, damaged))
    }

    /// The limits of an upload.
    pub fn upload_limits(&self) -> &Bundles {
        &self.uploads
    }
}

fn bounds(bundles: &Bundles) -> Bounds {
    Bounds {
        archive_bytes: bundles.upload_bytes,
        unpacked_bytes: bundles.unpacked_bytes,
        files: bundles.files,
        file_bytes: bundles.unpacked_bytes,
        ..Bounds::default()
    }
}
