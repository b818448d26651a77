//! The closed subset of WASI that plugins get. The standard libraries of many languages link against WASI even when a
//! program only computes. The inert part of it is linked with nothing behind it: no arguments, no environment, no folder,
//! no socket, and output that goes to the plugin's log. Clocks and random numbers need grants. Every other import is
//! refused by name before any code runs.
//!
//! Each function costs fuel. wasmtime-wasi asks for its state once in a call, through [`handles`] or [`WasiView::ctx`],
//! which charge the call. Functions whose work depends on their arguments charge for that themselves.

use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::sandbox::host_state::HostState;
use crate::sandbox::plugin_log::PluginLog;
use crate::sandbox::{ActivationError, cost};
use crate::tenant::{Capability, Charge, Grants};

/// The policy's decision on an import.
enum Import {
    /// Gives access to nothing, and is always linked.
    Inert,
    Granted(Capability),
    Forbidden(&'static str),
}

/// The import policy for all versions of the contract, by the import's name without its version.
fn classify(import: &str) -> Import {
    match import.split_once('@').map_or(import, |(name, _)| name) {
        "bulkhead:plugin/tensors" | "bulkhead:plugin/types" | "bulkhead:plugin/emitter" => Import::Inert,
        "bulkhead:plugin/assets" => Import::Granted(Capability::Assets),
        "bulkhead:plugin/logging" => Import::Granted(Capability::Logging),
        "bulkhead:plugin/graphs" => Import::Granted(Capability::Graphs),
        "wasi:clocks/wall-clock" | "wasi:clocks/monotonic-clock" => Import::Granted(Capability::Clocks),
        "wasi:random/random" => Import::Granted(Capability::Random),
        "wasi:random/insecure" | "wasi:random/insecure-seed" => Import::Inert,
        "wasi:filesystem/types" | "wasi:filesystem/preopens" => Import::Inert,
        name if name.starts_with("wasi:io/") || name.starts_with("wasi:cli/") => Import::Inert,
        name if name.starts_with("wasi:sockets/") || name.starts_with("wasi:http/") => {
            Import::Forbidden("a plugin has no network")
        }
        name if name.starts_with("bulkhead:plugin/") => Import::Forbidden("this host does not know it"),
        _ => Import::Forbidden("plugins can import only bulkhead:plugin and the inert part of WASI"),
    }
}

/// Refuses an import that was not granted, or that no plugin can have.
fn check_import(import: &str, grants: &Grants) -> Result<(), ActivationError> {
    match classify(import) {
        Import::Inert => Ok(()),
        Import::Granted(capability) if grants.has(capability) => Ok(()),
        Import::Granted(capability) => Err(ActivationError::NotGranted { import: import.into(), capability }),
        Import::Forbidden(reason) => Err(ActivationError::Forbidden { import: import.into(), reason }),
    }
}

/// Refuses the imports that were not granted or that no plugin can have, all of them at once.
pub(crate) fn check_imports<'a>(
    imports: impl IntoIterator<Item = &'a str>,
    grants: &Grants,
) -> Result<(), ActivationError> {
    let mut refused: Vec<_> = imports.into_iter().filter_map(|import| check_import(import, grants).err()).collect();
    match refused.pop() {
        None => Ok(()),
        Some(only) if refused.is_empty() => Err(only),
        Some(last) => {
            refused.push(last);
            Err(ActivationError::Imports(refused))
        }
    }
}

/// Links the inert part of WASI, and clocks and random numbers if they were granted.
pub(crate) fn link(linker: &mut Linker<HostState>, grants: &Grants) -> wasmtime::Result<()> {
    let l = linker;
    io::error::add_to_linker::<HostState, Handles>(l, handles)?;
    io::poll::add_to_linker::<HostState, HasSelf<HostState>>(l, |state| state)?;
    io::streams::add_to_linker::<HostState, Handles>(l, handles)?;
    cli::environment::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::exit::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stdin::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stdout::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stderr::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_input::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_output::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdin::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdout::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stderr::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    filesystem::types::add_to_linker::<HostState, WasiFilesystem>(l, HostState::filesystem)?;
    filesystem::preopens::add_to_linker::<HostState, WasiFilesystem>(l, HostState::filesystem)?;
    random::insecure::add_to_linker::<HostState, HasSelf<HostState>>(l, |state| state)?;
    random::insecure_seed::add_to_linker::<HostState, WasiRandom>(l, |state| state.ctx().ctx.random())?;
    if grants.has(Capability::Random) {
        random::random::add_to_linker::<HostState, HasSelf<HostState>>(l, |state| state)?;
    }
    if grants.has(Capability::Clocks) {
        clocks::wall_clock::add_to_linker::<HostState, WasiClocks>(l, HostState::clocks)?;
        clocks::monotonic_clock::add_to_linker::<HostState, WasiClocks>(l, HostState::clocks)?;
    }
    Ok(())
}

impl io::poll::Host for HostState {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.charge(cost::POLL, pollables.len() as u64)?;
        self.wasi_handles.poll(pollables).await
    }
}

impl io::poll::HostPollable for HostState {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        handles(self).ready(pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        handles(self).block(pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        io::poll::HostPollable::drop(handles(self), pollable)
    }
}

impl HostState {
    /// The context, for a caller that has charged the call.
    fn context(&mut self) -> WasiCtxView<'_> {
        if self.wasi.is_none() {
            self.wasi = Some(closed_context(self.log().clone()));
        }
        let ctx = self.wasi.get_or_insert_default();
        WasiCtxView { ctx, table: &mut self.wasi_handles }
    }

    /// The source of random numbers, after the call and its bytes were charged. The second result holds the memory of the
    /// bytes until they are copied.
    fn random(&mut self, bytes: u64) -> wasmtime::Result<(&mut WasiRandomCtx, Charge)> {
        self.charge(cost::RANDOM, bytes)?;
        let copy = self.budget.charge_memory(bytes)?;
        Ok((self.context().ctx.random(), copy))
    }
}

impl random::insecure::Host for HostState {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        let (source, _copy) = self.random(length)?;
        source.get_insecure_random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random(0)?.0.get_insecure_random_u64()
    }
}

impl random::random::Host for HostState {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        let (source, _copy) = self.random(length)?;
        source.get_random_bytes(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random(0)?.0.get_random_u64()
    }
}

/// The handles of a call that is charged. Without fuel for it, no fuel is left, and the plugin ends at its next instruction.
fn handles(state: &mut HostState) -> &mut ResourceTable {
    let _ = state.charge(cost::WASI, 0);
    &mut state.wasi_handles
}

impl WasiView for HostState {
    /// The context of a call that is charged as in [`handles`].
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let _ = self.charge(cost::WASI, 0);
        self.context()
    }
}

/// The context behind the linked interfaces: it gives access to nothing, and output goes to the plugin's log.
fn closed_context(log: PluginLog) -> WasiCtx {
    WasiCtx::builder().stdout(log.clone()).stderr(log).build()
}

struct Handles;

impl HasData for Handles {
    type Data<'a> = &'a mut ResourceTable;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::import_names::import_names;

    #[test]
    fn all_imports_that_cannot_be_had_are_named_at_once() {
        let component = wat::parse_str(
            r#"(component
                (import "wasi:cli/stderr@0.2.6" (instance))
                (import "wasi:clocks/wall-clock@0.2.6" (instance))
                (component (import "inner:of/nobody" (instance)))
                (import "wasi:sockets/tcp@0.2.6" (instance)))"#,
        );
        let names = import_names(&component.unwrap()).unwrap();
        let error = check_imports(names.iter().map(String::as_str), &Grants::default()).unwrap_err().to_string();
        assert!(error.contains("wall-clock") && error.contains("sockets/tcp"), "{error}");
        assert!(!error.contains("inner") && !error.contains("stderr"), "{error}");
        let clocks = Grants::from_iter([Capability::Clocks]);
        let error = check_imports(names.iter().map(String::as_str), &clocks).unwrap_err();
        assert!(matches!(error, ActivationError::Forbidden { .. }), "{error}");
    }

    #[test]
    fn imports_need_grants_by_name() {
        let none = Grants::default();
        check_import("wasi:cli/stderr@0.2.6", &none).unwrap();
        let error = check_import("bulkhead:plugin/assets@0.9.0", &none).unwrap_err().to_string();
        assert!(error.contains("\"assets\""), "{error}");
        check_import("bulkhead:plugin/assets@0.9.0", &Grants::from_iter([Capability::Assets])).unwrap();
        let all = Grants::from_iter(Capability::ALL);
        for never in ["wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0", "evil:corp/spy", "env"] {
            assert!(matches!(check_import(never, &all), Err(ActivationError::Forbidden { .. })), "{never}");
        }
    }
}
