//! What stands behind the SDK's types: the host, when compiled to a component; plain memory, when tested natively.
//! Both offer the same items, and nothing else in the SDK knows which one it has.

#[cfg(target_arch = "wasm32")]
pub mod component;
#[cfg(target_arch = "wasm32")]
pub(crate) use component::host::{BuilderHandle, Handle, OpenGraph, emit, log, open_graph, read_asset};

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{BuilderHandle, Handle, OpenGraph, emit, log, open_graph, read_asset};
