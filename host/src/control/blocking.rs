//! Access to the stored state, only from threads that may wait for the disk. One mutex is held over the commit of an act,
//! with its fsync, and over reconciling. A thread that holds connections must never wait for it, so all that takes it, or
//! uses the disk, is a method of [`BlockingControl`], which async code cannot have.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_bundle::Digest;
use bulkhead_store::{Act, Blobs, Corrupt, DataFolder, Loaded, Metadata, Revision, StoreError};

use super::state::{Change, ControlState};
use super::{Control, ControlError};

/// The store, and the state as it was read from it.
pub(super) struct Storage {
    folder: DataFolder,
    metadata: Arc<dyn Metadata>,
    blobs: Arc<dyn Blobs>,
    state: Mutex<LockedState>,
}

/// Upper bound on how often an act is decided, if other hosts change the state each time.
const MOST_DECISIONS: usize = 5;

pub(super) struct LockedState {
    pub state: ControlState,
    /// The revision at which `state` was read.
    pub revision: Revision,
    /// Files that uploads under way have stored and that no document names yet, each with the number of these uploads.
    pub claimed: BTreeMap<Digest, usize>,
    /// True if a document could not be read, so that the files that it names are unknown.
    pub damaged: bool,
}

impl Storage {
    /// Reads the state. Documents that are damaged are returned by name, and all others are loaded.
    pub(super) fn open(folder: DataFolder) -> Result<(Storage, Vec<Corrupt>), ControlError> {
        let (metadata, blobs) = (folder.metadata(), folder.blobs());
        let loaded = metadata.load()?;
        log_repaired(&loaded);
        let revision = loaded.revision;
        let (state, damaged) = ControlState::load(loaded);
        let locked = LockedState { state, revision, claimed: BTreeMap::new(), damaged: !damaged.is_empty() };
        Ok((Storage { folder, metadata, blobs, state: Mutex::new(locked) }, damaged))
    }
}

pub(super) fn log_repaired(loaded: &Loaded) {
    for repaired in &loaded.repaired {
        tracing::warn!(details = repaired.details, "{repaired}");
    }
}

/// A [`Control`] on a thread that may wait for the disk. All administrative acts are methods of it. It is made only by
/// [`Control::blocking`] and before the host serves, is lent for one call, and is neither `Send` nor `Sync`, so it cannot
/// be held by a task.
pub struct BlockingControl {
    control: Arc<Control>,
    _not_send: PhantomData<*const ()>,
}

impl Deref for BlockingControl {
    type Target = Arc<Control>;

    fn deref(&self) -> &Arc<Control> {
        &self.control
    }
}

impl Control {
    /// Runs an act on a thread that may wait for the disk. The act is finished even if its caller is dropped.
    pub async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&BlockingControl) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let control = self.clone();
        let acting = tokio::task::spawn_blocking(move || act(&BlockingControl::new(control)));
        acting.await.unwrap_or(Err(ControlError::Panicked))
    }

    /// Runs the first acts on the caller's thread. No connection can wait for it: nothing else holds this control yet.
    pub(super) fn before_serving(
        self,
        acts: impl FnOnce(&BlockingControl) -> Result<(), ControlError>,
    ) -> Result<Arc<Control>, ControlError> {
        let blocking = BlockingControl::new(Arc::new(self));
        acts(&blocking)?;
        Ok(blocking.control)
    }
}

impl BlockingControl {
    fn new(control: Arc<Control>) -> BlockingControl {
        BlockingControl { control, _not_send: PhantomData }
    }

    /// Performs an act. `decide` checks the state and drafts the writes; if it refuses, nothing is written. If another host
    /// changed the stored state meanwhile, the changes are read, and the act is decided again.
    pub(super) fn commit<T>(
        &self,
        who: &str,
        what: &str,
        subject: &str,
        decide: impl Fn(&ControlState, &mut Change) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let mut locked = self.lock();
        for _ in 1..MOST_DECISIONS {
            match self.decide_and_write(&mut locked, [who, what, subject], &decide) {
                Err(ControlError::Store(conflict @ StoreError::Conflict { .. })) => {
                    tracing::info!(who, what, subject, %conflict, "decided again");
                    self.catch_up(&mut locked)?;
                }
                done => return done,
            }
        }
        self.decide_and_write(&mut locked, [who, what, subject], &decide)
    }

    fn decide_and_write<T>(
        &self,
        locked: &mut LockedState,
        [who, what, subject]: [&str; 3],
        decide: impl Fn(&ControlState, &mut Change) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let mut change = Change::default();
        let decided = decide(&locked.state, &mut change)?;
        if !change.is_empty() {
            let (before, after) = (change.before.take(), change.after.take());
            let act = Act { who: who.into(), what: what.into(), subject: subject.into(), before, after };
            let (writes, renamed_usage) = (change.take_writes(), change.renamed_usage.take());
            let written = bulkhead_store::Change { writes, act, revokes: change.revokes, renamed_usage };
            locked.revision = self.metadata().commit(locked.revision, &written)?.revision();
            change.apply(&mut locked.state);
            self.reconcile(&locked.state);
            tracing::info!(who, what, subject, "done");
            self.rotate_audit();
        }
        Ok(decided)
    }

    /// Moves old entries of the audit log to a file, if there are too many. A failure does not concern the act: the entries
    /// stay where they are, and the next act tries again.
    fn rotate_audit(&self) {
        match self.metadata().rotate_audit(self.audit_entries) {
            Ok(None) => {}
            Ok(Some(part)) => {
                let (first, last) = (part.first, part.last.count);
                tracing::info!(first, last, file = %part.path.display(), "old entries of the audit log were moved to a file");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error);
                tracing::warn!(%error, cause, "the audit log could not be rotated, and grows on");
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LockedState> {
        self.storage.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state as it is between two acts.
    pub(super) fn read<T>(&self, look: impl FnOnce(&ControlState) -> T) -> T {
        look(&self.lock().state)
    }

    pub fn metadata(&self) -> &dyn Metadata {
        &*self.storage.metadata
    }

    pub(super) fn blobs(&self) -> &dyn Blobs {
        &*self.storage.blobs
    }

    /// A file for an archive that is being received.
    pub fn staging_file(&self) -> Result<tempfile::NamedTempFile, ControlError> {
        Ok(self.storage.folder.staging_file()?)
    }
}
