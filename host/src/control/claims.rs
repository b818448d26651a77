//! Files of the store that no document names. Those of uploads under way are claimed; all others are removed.

use std::sync::Arc;

use bulkhead_bundle::Digest;
use tokio::runtime::Handle;

use super::{BlockingControl, Control, ControlError};

/// Files that are removed under one lock of the state, while other acts wait for it.
const FILES_AT_ONCE: usize = 32;

/// Protects files from removal while no document names them, until it is released.
pub(super) struct Claim {
    control: Arc<Control>,
    digests: Vec<Digest>,
}

impl Claim {
    pub(super) fn new(control: &BlockingControl, digests: Vec<Digest>) -> Claim {
        let mut locked = control.lock();
        for digest in &digests {
            *locked.claimed.entry(*digest).or_default() += 1;
        }
        Claim { control: Arc::clone(control), digests }
    }

    /// Ends the protection, and removes the files that are not needed.
    pub(super) fn release(mut self, control: &BlockingControl) {
        control.release(&std::mem::take(&mut self.digests));
    }

    /// Protects the files for as long as the host runs.
    pub(super) fn keep(mut self) {
        self.digests.clear();
    }
}

impl Drop for Claim {
    /// Releases the claim of an upload that panicked, in a task of its own, because this thread may hold connections. At
    /// the end of the host nothing is done, because the next start removes the files.
    fn drop(&mut self) {
        let (control, digests) = (self.control.clone(), std::mem::take(&mut self.digests));
        let Ok(runtime) = Handle::try_current() else { return };
        if digests.is_empty() {
            return;
        }
        runtime.spawn(async move {
            let released = control.blocking(move |control| {
                control.release(&digests);
                Ok(())
            });
            if let Err(error) = released.await {
                tracing::warn!(%error, "files of an upload that failed were not removed");
            }
        });
    }
}

impl BlockingControl {
    fn release(&self, claimed: &[Digest]) {
        let mut locked = self.lock();
        for digest in claimed {
            let claims = locked.claimed.entry(*digest).or_default();
            *claims = claims.saturating_sub(1);
            if *claims == 0 {
                locked.claimed.remove(digest);
            }
        }
        drop(locked);
        self.remove_unneeded(claimed);
    }

    /// Removes the files that no bundle names; called once, at the start. Does nothing if a document is damaged, because it
    /// may name some of them.
    pub(super) fn remove_strays(&self) -> Result<(), ControlError> {
        let locked = self.lock();
        if locked.damaged {
            return Ok(());
        }
        let needed = locked.state.needed_files();
        let mut strays = self.blobs().list()?.into_iter().filter(|(digest, _)| !needed.contains(digest));
        strays.try_for_each(|(digest, _)| Ok(self.blobs().remove(&digest)?))
    }

    /// Removes the given files that neither a bundle nor an upload under way needs, a few at a time, because other acts
    /// wait for the state meanwhile. A file that cannot be removed stays until the next start.
    pub(super) fn remove_unneeded(&self, files: &[Digest]) {
        for some in files.chunks(FILES_AT_ONCE) {
            let locked = self.lock();
            if locked.damaged {
                return;
            }
            let needed = locked.state.needed_files();
            let unneeded = some.iter().filter(|file| !needed.contains(file) && !locked.claimed.contains_key(file));
            for file in unneeded {
                if let Err(error) = self.blobs().remove(file) {
                    tracing::warn!(%error, "a file that nothing needs could not be removed");
                }
            }
        }
    }
}
