//! What is left of an instance when its call is over. Clearing it away takes about as long as making it, and nobody who
//! waits for the answer needs that: whoever called may put it off, for as many instances as there are slots for.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;

use super::host_state::HostState;

/// Slots beside those of calls.
pub(crate) const SLOTS: u32 = 8;

/// For what is left and was not cleared away yet, of all plugins together.
#[derive(Clone)]
pub(crate) struct TeardownSlots(Arc<Semaphore>);

/// Dropping it clears the instance away: its memory is wiped, and its slot is free.
pub struct Remains {
    _left: Option<(Store<HostState>, OwnedSemaphorePermit)>,
}

impl TeardownSlots {
    pub fn new() -> TeardownSlots {
        TeardownSlots(Arc::new(Semaphore::new(SLOTS as usize)))
    }

    /// Where there is no room, nothing is left: it is cleared away at once.
    pub fn of(&self, store: Option<Store<HostState>>) -> Remains {
        Remains { _left: store.zip(self.0.clone().try_acquire_owned().ok()) }
    }
}
