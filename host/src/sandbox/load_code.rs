//! Loading compiled code, which is machine code that this process will run: the one `unsafe` act of the host.

#![expect(unsafe_code, reason = "wasmtime cannot know who compiled what it is given; the proof stands at the call")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// `code` must be what a [`Workers`](crate::worker::Workers) answered to the job of compiling, in this process or in an
/// earlier one on this host; the two callers are in `activate.rs`, beside the places where such bytes come from.
pub(crate) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: wasmtime wants bytes that `precompile_component` made. There are two sources of them.
    //
    // A child that compiled: `worker/parent.rs` starts it from the executable of this very process (`/proc/self/exe`, and
    // no name that somebody could put another program behind), without an environment, and takes its answer from a pipe
    // that nobody else holds, whole, and only when it ended well. So they are as trustworthy as what this process would
    // have compiled itself.
    //
    // The cache: `cache/mod.rs` gives bytes only after it verified, in memory that no other process can change, that they
    // carry the tag of this host's key under the name of exactly this component, configuration and engine; and only
    // `artifact.rs` puts code under such a name, which it got from such a child. Who knows the key can read this host's state
    // and needs no forged code.
    //
    // That the engines agree on settings, version and processor is checked by wasmtime itself, and is part of the name.
    unsafe { Component::deserialize(engine, code) }
}
