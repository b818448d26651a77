//! Activation of a plugin: from the bytes of a component to a [`Plugin`] that can be called. It compiles the component,
//! checks its imports, runs `init` under limits, and makes a snapshot that every call starts from, if the component allows
//! one.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Linker;
use wasmtime_wizer::{ComponentContext, Wizer};

use super::artifact::{self, Artifact};
use super::bindings::{self, Linked};
use super::compile::{self, COMPILING, COMPILING_SNAPSHOT};
use super::error::Bounds;
use super::host_state;
use super::import_names::{NO_PREAMBLE, is_component};
use super::shared::Shared;
use super::snapshot::Accessors;
use super::{ActivationError, CallError, Initialisation, NoSnapshot, Plugin, PluginSource, Sandbox, load_code};
use crate::cache::CacheKey;
use crate::config::CallLimits;
use crate::sandbox::imports::wasi;
use crate::tenant::{Budget, Grants, Limit};
use crate::tensor::Signature;

/// An activated plugin: the part that is cached, and its code with linked imports.
type Activated = (Artifact, Box<dyn Linked>);

impl Sandbox {
    /// Compiles and initialises a plugin, or loads it from the cache if this host has activated it before. Takes seconds
    /// for a large component, so it must not run on the request path.
    pub async fn activate(&self, source: PluginSource) -> Result<Plugin, ActivationError> {
        self.look_at(&source.component)?;
        let config = source.config.to_string();
        let name = self.workers.cache().and_then(|_| artifact::name(&self.engine, &self.limits, &source, &config));
        let PluginSource { model, stage, component, initialisation, grants, assets, graphs, .. } = source;
        let shared = Arc::new(Shared { model, stage, assets, graphs, dev: self.limits.dev });
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
        let Artifact { signature, initialisation, no_snapshot, code } = saved;
        let (engine, remains, stack) = (self.engine.clone(), self.remains.clone(), self.limits.stack);
        let code = code.len() as u64;
        Ok(Plugin { engine, remains, linked, shared, config, signature, initialisation, no_snapshot, stack, code })
    }

    /// Checks that need no parsing: the size, and the preamble of a component.
    fn look_at(&self, component: &Bytes) -> Result<(), ActivationError> {
        let (bytes, bound) = (component.len() as u64, self.limits.component_bytes);
        if bytes > bound {
            return Err(ActivationError::TooLarge { bytes, bound });
        }
        if !is_component(component) {
            return Err(ActivationError::NotAComponent(NO_PREAMBLE.into()));
        }
        Ok(())
    }

    /// Looks for the plugin in the cache. An entry that no longer loads, for example after a change of limits, is deleted
    /// and made again.
    fn find(&self, name: Option<&CacheKey>, grants: &Grants) -> Result<Option<Activated>, ActivationError> {
        let (Some(cache), Some(name)) = (self.workers.cache(), name) else { return Ok(None) };
        let Some(saved) = Artifact::find(cache, name) else { return Ok(None) };
        match self.link(&saved.code, grants) {
            Ok(linked) => Ok(Some((saved, linked))),
            Err(ActivationError::Compile(reason)) => {
                tracing::warn!(entry = %name, reason, "a cache entry cannot be loaded; it is deleted and made again");
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
    ) -> Result<Activated, ActivationError> {
        let code = match wanted {
            Initialisation::Snapshot => compile::instrumented(&self.workers, wasm, grants).await?,
            Initialisation::EveryCall => compile::plain(&self.workers, wasm, grants, COMPILING).await?,
        };
        let instrumented = code.context.is_some();
        let linked = self.link(&code.bytes, grants)?;
        let (signature, snapshot) = self.initialise(&*linked, shared, config, code.context).await?;
        let no_snapshot = snapshot.as_ref().err().copied().filter(|_| wanted == Initialisation::Snapshot);
        let (initialisation, code, linked) = match snapshot {
            Err(_) if !instrumented => (Initialisation::EveryCall, code.bytes, linked),
            Err(_) => {
                let code = compile::plain(&self.workers, wasm, grants, COMPILING).await?.bytes;
                let linked = self.link(&code, grants)?;
                (Initialisation::EveryCall, code, linked)
            }
            Ok(snapshot) => {
                let code = compile::plain(&self.workers, &snapshot.into(), grants, COMPILING_SNAPSHOT).await?.bytes;
                let linked = self.link(&code, grants)?;
                (Initialisation::Snapshot, code, linked)
            }
        };
        Ok((Artifact { signature, initialisation, no_snapshot, code }, linked))
    }

    /// Loads compiled code and links the granted imports. No code of the component runs here.
    fn link(&self, code: &[u8], grants: &Grants) -> Result<Box<dyn Linked>, ActivationError> {
        let component = load_code::load(&self.engine, code).map_err(ActivationError::unloadable)?;
        let component_type = component.component_type();
        wasi::check_imports(component_type.imports(&self.engine).map(|(import, _)| import), grants)?;
        let mut linker = Linker::new(&self.engine);
        let stage = |error: wasmtime::Error| ActivationError::NotAStage(format!("{error:#}"));
        let contract = bindings::contract();
        wasi::link(&mut linker, grants).and_then(|()| contract.link_imports(&mut linker, grants)).map_err(stage)?;
        linker.instantiate_pre(&component).and_then(|linked| contract.bind(linked)).map_err(stage)
    }

    /// Runs `init` in an instance of its own. Takes a snapshot of that instance if the component was instrumented, `init`
    /// left no stream open, and the state can be read.
    async fn initialise(
        &self,
        linked: &dyn Linked,
        shared: &Arc<Shared>,
        config: &str,
        instrumented: Option<ComponentContext<'_>>,
    ) -> Result<(Signature, Result<Vec<u8>, NoSnapshot>), ActivationError> {
        let limits = &self.limits.init;
        let mut budget = Budget::new(limits);
        let mut home = None;
        let guard = host_state::enter(&mut home, &self.engine, shared, &"init".into(), &mut budget);
        let store = &mut *guard.store;
        let started = async {
            match linked.init(store, config).await {
                Ok((signature, instance)) => Ok((signature?, instance)),
                Err(error) => Err(CallError::from_wasmtime(error, &self.bounds(limits), store.data()).into()),
            }
        };
        let (signature, instance) = within_time(limits, started).await?;
        if !store.data().handles.is_empty() {
            return Err(ActivationError::KeptHandles);
        }
        // A plugin that printed in `init` holds its standard output, a stream of this instance that a snapshot cannot
        // carry.
        let holds_stream = !store.data().wasi_handles.is_empty();
        let Some(context) = instrumented else { return Ok((signature, Err(NoSnapshot::Component))) };
        if holds_stream {
            return Ok((signature, Err(NoSnapshot::Stream)));
        }
        host_state::lift_limits(store);
        let mut accessors = Accessors::new(store, instance);
        let snapshot = Wizer::new().snapshot_component(&context, &mut accessors).await;
        if let Some(error) = accessors.failure() {
            let (model, stage) = (&*shared.model, &*shared.stage);
            let why = format!("{error:#}");
            tracing::warn!(model, stage, why, "the state after init cannot be read");
            return Ok((signature, Err(NoSnapshot::State)));
        }
        let snapshot = snapshot.map_err(|error| ActivationError::Snapshot(format!("{error:#}")))?;
        Ok((signature, Ok(snapshot)))
    }

    fn bounds(&self, limits: &CallLimits) -> Bounds {
        Bounds { fuel: limits.fuel, stack: self.limits.stack }
    }
}

/// The time limit of `init`. Epochs stop guest code; this timeout stops a call that waits in the host.
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
