//! Administrative acts: the operator decides whom to trust, who may call, and what is served. Each act is one change. It is
//! checked against the state, written together with its line of the audit log, and visible only afterwards; then what is
//! live is reconciled with the stored state. Acts are short and block, so they run one at a time, on threads that may wait
//! for the disk.

mod error;
mod models;
mod publishers;
mod reconcile;
mod records;
mod state;
mod tenants;
mod upload;
mod upload_checks;
mod usage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_bundle::{Bounds, Digest};
use bulkhead_store::{Act, Blobs, Corrupt, DataFolder, Metadata};
use tokio::sync::Semaphore;

use crate::activation::Activator;
use crate::catalog::Catalog;
use crate::config::{Bundles, Config, TenantLimits};
use crate::sandbox::ACTIVATION_SLOTS;
use crate::scheduler::Compute;
use crate::tenant::{Directory, Resident};
use state::{Change, ControlState};

pub use error::ControlError;
pub use models::{ModelView, VersionView};
pub use publishers::TrustRequest;
pub use records::{
    BundleState, KeyRecord, ModelSettings, Policy, Publisher, StoredBundle, StoredFile, TenantRecord, Timestamp,
    TrustedKey,
};
pub use tenants::{NewKey, TenantView};
pub use upload::{Progress, Uploaded};

/// The state that an operator can change, and the live parts of the host that follow from it.
pub struct Control {
    folder: DataFolder,
    metadata: Arc<dyn Metadata>,
    blobs: Arc<dyn Blobs>,
    state: Mutex<LockedState>,
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
    /// True if unsigned bundles may be served (`serve --dev`).
    dev: bool,
    /// Slots for uploads that are unpacked and activated at once.
    upload_places: Semaphore,
    /// Slots for bundles that are activated at once.
    activations: Semaphore,
}

struct LockedState {
    state: ControlState,
    /// Files that uploads under way have stored and that no document names yet, each with the number of these uploads.
    claimed: BTreeMap<Digest, usize>,
    /// True if a document could not be read, so that the files that it names are unknown.
    damaged: bool,
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
        let (metadata, blobs) = (folder.metadata(), folder.blobs());
        let (state, damaged) = ControlState::load(metadata.load()?);
        let control = Control {
            folder,
            metadata,
            blobs,
            state: Mutex::new(LockedState { state, claimed: BTreeMap::new(), damaged: !damaged.is_empty() }),
            directory,
            catalog,
            compute,
            activator,
            resident: Resident::new(config.bundles.resident_bytes),
            defaults: config.tenant.clone(),
            uploads: config.bundles.clone(),
            bounds: bounds(&config.bundles),
            dev: config.dev,
            upload_places: Semaphore::new(config.bundles.uploads),
            activations: Semaphore::new(ACTIVATION_SLOTS as usize),
        };
        control.remove_strays()?;
        let control = Arc::new(control);
        control.ensure_default_tenant()?;
        Ok((control, damaged))
    }

    /// Performs an act. `decide` checks the state and drafts the writes; if it refuses, nothing is written.
    fn commit<T>(
        self: &Arc<Self>,
        who: &str,
        what: &str,
        subject: &str,
        decide: impl FnOnce(&ControlState, &mut Change) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let mut locked = self.lock();
        let mut change = Change::default();
        let decided = decide(&locked.state, &mut change)?;
        if !change.is_empty() {
            let (before, after) = (change.before.take(), change.after.take());
            let act = Act { who: who.into(), what: what.into(), subject: subject.into(), before, after };
            self.metadata.commit(&bulkhead_store::Change { writes: change.take_writes(), act })?;
            change.apply(&mut locked.state);
            self.reconcile(&locked.state);
            tracing::info!(who, what, subject, "done");
        }
        Ok(decided)
    }

    fn lock(&self) -> MutexGuard<'_, LockedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state as it is between two acts.
    fn read<T>(&self, look: impl FnOnce(&ControlState) -> T) -> T {
        look(&self.lock().state)
    }

    /// Runs an act on a thread that may wait for the disk. The act is finished even if its caller is dropped.
    pub async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Arc<Control>) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let control = self.clone();
        tokio::task::spawn_blocking(move || act(&control)).await.unwrap_or(Err(ControlError::Panicked))
    }

    pub fn metadata(&self) -> &Arc<dyn Metadata> {
        &self.metadata
    }

    /// A file for an archive that is being received.
    pub fn staging_file(&self) -> Result<tempfile::NamedTempFile, ControlError> {
        Ok(self.folder.staging_file()?)
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
