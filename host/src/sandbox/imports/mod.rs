//! The functions that plugins may import.

mod assets;
mod emitter;
mod graphs;
mod logging;
mod tensors;
#[cfg(test)]
mod tests;
pub(super) mod wasi;

use wasmtime::component::{HasSelf, Linker};

use super::host_state::HostState;
use crate::sandbox::wire::v0_1::{self as wire, interface};
use crate::tenant::{Capability, Grants};

/// Links the imports of the contract: those that every plugin has, and those that were granted.
pub(crate) fn link(linker: &mut Linker<HostState>, grants: &Grants) -> wasmtime::Result<()> {
    // The interface has no functions, but components import it all the same.
    linker.instance(&interface("types"))?;
    tensors::link(linker)?;
    emitter::link(linker)?;
    if grants.has(Capability::Assets) {
        wire::assets::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    }
    if grants.has(Capability::Logging) {
        wire::logging::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    }
    if grants.has(Capability::Graphs) {
        graphs::link(linker)?;
    }
    Ok(())
}
