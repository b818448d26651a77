//! From the bytes of a component to a plugin that can be called: check what it imports, compile, run `init` under limits,
//! and make a snapshot that every call starts from.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Linker;
use wasmtime_wizer::{ComponentContext, Wizer};

use super::artifact::{self, Artifact};
use super::compile::{self, COMPILING, COMPILING_SNAPSHOT};
use super::error::Bounds;
use super::host_state::{self, Shared};
use super::snapshot::Accessors;
use super::{ActivationError, CallError, Plugin, PluginSource, Sandbox, imports, load_code};
use crate::cache::CacheKey;
use crate::config::CallLimits;
use crate::sandbox::bindings::v0_1::Linked;
use crate::sandbox::imports::wasi;
use crate::tenant::{Budget, Grants, Limit};
use crate::tensor::Signature;

/// How a fresh instance gets to the state that `init` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// It is part of the compiled component.
    Snapshot,
    /// `init` runs again in every instance: slow, and what a plugin wants that draws random numbers in it. Some toolchains
    /// make components that cannot be snapshotted, and get this, too.
    EveryCall,
}

impl Sandbox {
    /// Compiles and initialises a plugin, or finds that this host did it before. Takes seconds for a large component: not
    /// for the request path.
    pub async fn activate(&self, source: PluginSource) -> Result<Plugin, ActivationError> {
        self.look_at(&source.component)?;
        let config = source.config.to_string();
        let name = self.workers.cache().and_then(|_| artifact::name(&self.engine, &self.limits, &source, &config));
        let PluginSource { model, stage, component, initialisation, grants, assets, graphs, .. } = source;
        let shared = Arc::new(Shared { model, stage, assets, graphs });
        let (saved, linked) = match self.find(name.as_ref(), &grants)? {
            Some(found) => found,
            None => {
                let made = self.make(&component, initialisation, &shared, &grants, &config).await?;
                if let (Some(cache), Some(name)) = (self.workers.cache(), &name) {
                    made.0.keep(cache, name);
                }
                made
            }
        };
        let Artifact { signature, initialisation, code } = saved;
        let (engine, remains, stack) = (self.engine.clone(), self.remains.clone(), self.limits.stack);
        let code = code.len() as u64;
        Ok(Plugin { engine, remains, linked, shared, config, signature, initialisation, stack, code })
    }

    /// What can be said without taking it apart.
    fn look_at(&self, component: &Bytes) -> Result<(), ActivationError> {
        let (bytes, bound) = (component.len() as u64, self.limits.component_bytes);
        if bytes > bound {
            return Err(ActivationError::TooLarge { bytes, bound });
        }
        if !is_component(component) {
            return Err(ActivationError::NotAComponent("it does not begin as one".into()));
        }
        Ok(())
    }

    /// An entry that does not load any more, as after a change of limits, is made again.
    fn find(&self, name: Option<&CacheKey>, grants: &Grants) -> Result<Option<(Artifact, Linked)>, ActivationError> {
        let (Some(cache), Some(name)) = (self.workers.cache(), name) else { return Ok(None) };
        let Some(saved) = Artifact::find(cache, name) else { return Ok(None) };
        match self.link(&saved.code, grants) {
            Ok(linked) => Ok(Some((saved, linked))),
            Err(ActivationError::Compile(reason)) => {
                tracing::warn!(entry = %name, reason, "an entry of the cache does not load; it is deleted and made again");
                cache.remove(name);
                Ok(None)
            }
            Err(refused) => Err(refused),
        }
    }

    async fn make(
        &self,
        wasm: &Bytes,
        wanted: Initialisation,
        shared: &Arc<Shared>,
        grants: &Grants,
        config: &str,
    ) -> Result<(Artifact, Linked), ActivationError> {
        let code = match wanted {
            Initialisation::Snapshot => compile::instrumented(&self.workers, wasm).await?,
            Initialisation::EveryCall => compile::plain(&self.workers, wasm, COMPILING).await?,
        };
        let instrumented = code.context.is_some();
        let linked = self.link(&code.bytes, grants)?;
        let (signature, snapshot) = self.initialise(&linked, shared, config, code.context).await?;
        let (initialisation, code, linked) = match snapshot {
            None if !instrumented => (Initialisation::EveryCall, code.bytes, linked),
            None => {
                let code = compile::plain(&self.workers, wasm, COMPILING).await?.bytes;
                let linked = self.link(&code, grants)?;
                (Initialisation::EveryCall, code, linked)
            }
            Some(snapshot) => {
                let code = compile::plain(&self.workers, &snapshot.into(), COMPILING_SNAPSHOT).await?.bytes;
                let linked = self.link(&code, grants)?;
                (Initialisation::Snapshot, code, linked)
            }
        };
        Ok((Artifact { signature, initialisation, code }, linked))
    }

    /// Loads compiled code, and links what was granted. Nothing of the component runs here.
    fn link(&self, code: &[u8], grants: &Grants) -> Result<Linked, ActivationError> {
        let unloadable = |error: wasmtime::Error| ActivationError::Compile(format!("{error:#}"));
        let component = load_code::load(&self.engine, code).map_err(unloadable)?;
        for (import, _) in component.component_type().imports(&self.engine) {
            wasi::check_import(import, grants)?;
        }
        let mut linker = Linker::new(&self.engine);
        let stage = |error: wasmtime::Error| ActivationError::NotAStage(format!("{error:#}"));
        wasi::link(&mut linker, grants).and_then(|()| imports::link(&mut linker, grants)).map_err(stage)?;
        linker.instantiate_pre(&component).and_then(Linked::new).map_err(stage)
    }

    /// Runs `init` in an instance of its own, and takes a snapshot of it where it was instrumented and nothing stands
    /// in the way.
    async fn initialise(
        &self,
        linked: &Linked,
        shared: &Arc<Shared>,
        config: &str,
        instrumented: Option<ComponentContext<'_>>,
    ) -> Result<(Signature, Option<Vec<u8>>), ActivationError> {
        let limits = &self.limits.init;
        let mut budget = Budget::new(limits);
        let mut home = None;
        let guard = host_state::enter(&mut home, &self.engine, shared, &"init".into(), &mut budget);
        let store = &mut *guard.store;
        let failed = |error| ActivationError::from(CallError::from_wasmtime(error, &self.bounds(limits)));
        let started = async {
            let (started, instance) = linked.instantiate_for_snapshot(store).await.map_err(failed)?;
            let signature = started.init(store, config).await.map_err(failed)??;
            Ok((signature, instance))
        };
        let (signature, instance) = within_time(limits, started).await?;
        if !store.data().handles.is_empty() {
            return Err(ActivationError::KeptHandles);
        }
        // A plugin that printed in init holds its standard output: a stream of this instance, which no snapshot can carry.
        let holds_stream = !store.data().wasi_handles.is_empty();
        let Some(context) = instrumented.filter(|_| !holds_stream) else { return Ok((signature, None)) };
        host_state::lift_limits(store);
        let mut accessors = Accessors { store, instance };
        let snapshot = Wizer::new().snapshot_component(&context, &mut accessors).await;
        let snapshot = snapshot.map_err(|error| ActivationError::Snapshot(format!("{error:#}")))?;
        Ok((signature, Some(snapshot)))
    }

    fn bounds(&self, limits: &CallLimits) -> Bounds {
        Bounds { fuel: limits.fuel, stack: self.limits.stack }
    }
}

/// Guests are stopped at epochs; this stops what waits in the host.
async fn within_time<T>(
    limits: &CallLimits,
    work: impl Future<Output = Result<T, ActivationError>>,
) -> Result<T, ActivationError> {
    match tokio::time::timeout(limits.time, work).await {
        Ok(result) => result,
        Err(_) => {
            let exceeded = Budget::new(limits).exceeded(Limit::Time);
            Err(CallError::Exceeded(exceeded).into())
        }
    }
}

/// The preamble of the binary format, version 13, layer 1: a component. (A core module has layer 0.)
fn is_component(wasm: &[u8]) -> bool {
    wasm.starts_with(b"\0asm\x0d\x00\x01\x00")
}
