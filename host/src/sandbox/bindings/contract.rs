//! The traits of the contract. Nothing above them depends on a version.

use futures_util::future::BoxFuture;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use crate::sandbox::host_state::HostState;
use crate::sandbox::{ActivationError, CallError, Parameters};
use crate::tenant::Grants;
use crate::tensor::{NamedTensors, Signature};

/// A frozen version of the contract between the host and plugins.
pub(crate) trait Contract: Send + Sync {
    /// Links the imports: those that every plugin has, and those that were granted.
    fn link_imports(&self, linker: &mut Linker<HostState>, grants: &Grants) -> wasmtime::Result<()>;

    /// Finds the exports of a stage or of a generator. No code of the component runs.
    fn bind(&self, component: InstancePre<HostState>) -> wasmtime::Result<Box<dyn Linked>>;
}

/// A component whose imports are linked and whose exports are known. Its calls end in an error of wasmtime if the instance
/// traps or reaches a limit, and in an error of the plugin otherwise.
pub(crate) trait Linked: Send + Sync {
    /// True if the component exports a generator, false if it exports a stage.
    fn is_generator(&self) -> bool;

    fn component(&self) -> &Component;

    /// Makes an instance and runs its `init`. The instance is returned for a snapshot.
    fn init<'a>(
        &'a self,
        store: &'a mut Store<HostState>,
        config: &'a str,
    ) -> BoxFuture<'a, wasmtime::Result<(InitResult, Instance)>>;

    /// Makes an instance and runs the plugin in it, after its `init` if `config` is given. A stage returns its outputs; a
    /// generator has given all its responses to the sink of the store, and returns none.
    fn call<'a>(
        &'a self,
        store: &'a mut Store<HostState>,
        config: Option<&'a str>,
        inputs: NamedTensors,
        parameters: &'a Parameters,
    ) -> BoxFuture<'a, wasmtime::Result<Result<NamedTensors, CallError>>>;
}

pub(crate) type InitResult = Result<Signature, ActivationError>;
