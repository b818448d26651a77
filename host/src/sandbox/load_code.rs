//! Loading of compiled code, the one `unsafe` operation of the host: the code is machine code that this process will run.

#![expect(unsafe_code, reason = "wasmtime cannot know who compiled what it is given; the proof stands at the call")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// `code` must be the result of a compile job of a [`Workers`](crate::worker::Workers), in this process or in an earlier
/// one on this host. The one caller is in `activate.rs`, beside the two sources of such bytes.
pub(crate) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` requires bytes that `precompile_component` made. There are two sources of them.
    //
    // A child that compiled: `worker/parent.rs` starts it from the executable of this very process (`/proc/self/exe`, and
    // not a file name, under which another program could be put), without an environment. It takes the child's answer from
    // a pipe that no other process holds, and only if the answer is complete and the child ended successfully. The bytes
    // are therefore as trustworthy as code that this process would have compiled itself.
    //
    // The cache: `cache/mod.rs` returns bytes only after it has verified, in memory that no other process can change, that
    // they carry the tag of this host's key under the name of exactly this component, configuration and engine. Only
    // `artifact.rs` stores code under such a name, and that code came from such a child. An attacker who knows the key can
    // already read this host's state, and needs no forged code.
    //
    // wasmtime itself checks that the engines agree on settings, version and processor; the name covers these as well.
    unsafe { Component::deserialize(engine, code) }
}
