//! The functions that plugins may import.

pub mod emitter;
mod graphs;
pub mod tensors;
pub mod wasi;

use wasmtime::component::{HasSelf, Linker};

use super::host_state::HostState;
use crate::sandbox::bindings::v0_1::stage::bulkhead::plugin::{assets, logging};
use crate::tenant::{Capability, Grants};

/// Links the imports of the contract: those that every plugin has, and those that were granted.
pub(crate) fn link(linker: &mut Linker<HostState>, grants: &Grants) -> wasmtime::Result<()> {
    // The interface has no functions, but components import it all the same.
    linker.instance("bulkhead:plugin/types@0.1.0")?;
    tensors::link(linker)?;
    emitter::link(linker)?;
    if grants.has(Capability::Assets) {
        assets::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    }
    if grants.has(Capability::Logging) {
        logging::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    }
    if grants.has(Capability::Graphs) {
        graphs::link(linker)?;
    }
    Ok(())
}
