//! Deferred teardown of instances. Tearing an instance down takes about as long as making it, and the client need not wait
//! for it, so a caller may defer it, for as many instances as there are slots.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;

use super::host_state::HostState;

/// Slots for instances that await teardown, in addition to those for calls.
pub(crate) const SLOTS: u32 = 8;

/// Limits how many instances may await teardown, over all plugins.
#[derive(Clone)]
pub(crate) struct TeardownSlots(Arc<Semaphore>);

/// An instance that awaits teardown. Dropping it wipes the instance's memory and frees its slot.
pub struct Remains {
    _left: Option<(Store<HostState>, OwnedSemaphorePermit)>,
}

impl TeardownSlots {
    pub(crate) fn new() -> TeardownSlots {
        TeardownSlots(Arc::new(Semaphore::new(SLOTS as usize)))
    }

    /// Defers the teardown of a store. If no slot is free, the store is dropped at once and nothing is left to tear down.
    pub(crate) fn of(&self, store: Option<Store<HostState>>) -> Remains {
        Remains { _left: store.zip(self.0.clone().try_acquire_owned().ok()) }
    }
}
