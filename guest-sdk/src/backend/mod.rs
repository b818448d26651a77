//! The backend of the SDK's types: the host if compiled to a component, and plain memory in native tests. Both offer the
//! same items, and the rest of the SDK does not depend on which one it has.

#[cfg(target_arch = "wasm32")]
pub mod component;
#[cfg(target_arch = "wasm32")]
pub(crate) use component::host::{BuilderHandle, Handle, OpenGraph, emit, log, open_graph, read_asset};

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{BuilderHandle, Handle, OpenGraph, emit, log, open_graph, read_asset};
