//! What an operator decides: whom to trust, who may call, what is served. Each act is one change, checked against the
//! state, written with its line of the audit log, and only then seen; after it, what is live is brought in line with
//! what is written. Acts are short and block: they run on threads that may wait, one at a time.

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

/// Everything that an operator can change, and what follows from it.
pub struct Control {
    folder: DataFolder,
    metadata: Arc<dyn Metadata>,
    blobs: Arc<dyn Blobs>,
    state: Mutex<LockedState>,
    directory: Arc<Directory>,
    catalog: Arc<Catalog>,
    compute: Arc<Compute>,
    activator: Activator,
    /// The memory of what is loaded.
    resident: Resident,
    /// What a tenant has unless it was given limits of its own.
    defaults: TenantLimits,
    uploads: Bundles,
    bounds: Bounds,
    /// Serves what nobody signed.
    dev: bool,
    /// Uploads that may be unpacked and activated at once.
    upload_places: Semaphore,
    /// Bundles that are activated at once.
    activations: Semaphore,
}

struct LockedState {
    state: ControlState,
    /// Files that uploads under way have stored, and no document names yet.
    claimed: BTreeMap<Digest, usize>,
    /// Some document could not be read, and what files it names nobody knows.
    damaged: bool,
}

/// Who does an act, for the audit log.
pub type Actor = Arc<str>;

/// What a control is made of.
pub struct Parts {
    pub folder: DataFolder,
    pub directory: Arc<Directory>,
    pub catalog: Arc<Catalog>,
    pub compute: Arc<Compute>,
    pub activator: Activator,
}

impl Control {
    /// Reads the state. What is damaged is named, and everything else is there.
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

    /// Does an act. `decide` looks at the state and drafts what to write; nothing is done where it refuses.
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

    /// Looks at the state as it is between two acts.
    fn read<T>(&self, look: impl FnOnce(&ControlState) -> T) -> T {
        look(&self.lock().state)
    }

    /// Runs an act where waiting for the disk holds up nobody. It is finished even when who asked for it goes away.
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

    /// What one upload may cost.
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
