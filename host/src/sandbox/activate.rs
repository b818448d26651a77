//! From the bytes of a component to a plugin that can be called: check what it imports, compile, run `init` under limits,
//! and make a snapshot that every call starts from.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wizer::{ComponentContext, Wizer};

use super::contract::{self, Failure, Stage, StagePre};
use super::error::Bounds;
use super::instance::{self, Shared, State};
use super::snapshot::Accessors;
use super::{ActivationError, CallError, Parameters, PluginSource, Sandbox, wasi};
use crate::config::{CallLimits, clip};
use crate::tenant::{Budget, Grants, Limit};
use crate::tensor::{self, NamedTensors, Signature};

/// How a fresh instance gets to the state that `init` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// It is part of the compiled component.
    Snapshot,
    /// `init` runs again in every instance: slow, and what a plugin wants that draws random numbers in it. Some toolchains
    /// make components that cannot be snapshotted, and get this, too.
    EveryCall,
}

/// An activated plugin. Calls share it without a lock.
pub struct Plugin {
    engine: Engine,
    pre: StagePre,
    shared: Arc<Shared>,
    config: String,
    signature: Signature,
    initialisation: Initialisation,
    stack: u64,
}

impl Sandbox {
    /// Compiles and initialises a plugin. Takes seconds of a thread for a large component: not for the request path.
    pub async fn activate(&self, source: PluginSource) -> Result<Plugin, ActivationError> {
        let (bytes, bound) = (source.component.len() as u64, self.limits.component_bytes);
        if bytes > bound {
            return Err(ActivationError::TooLarge { bytes, bound });
        }
        let wasm = source.component;
        let grants = source.grants;
        let shared =
            Arc::new(Shared { model: source.model, stage: source.stage, assets: source.assets, graphs: source.graphs });
        let config = source.config.to_string();
        let wizer = Wizer::new();
        let instrumented = match source.initialisation {
            Initialisation::Snapshot => wizer.instrument_component(&wasm).ok(),
            Initialisation::EveryCall => None,
        };
        let (signature, initialisation, pre) = match instrumented {
            Some((context, instrumented)) => {
                let probe = self.prepare(&instrumented, &grants)?;
                match self.initialise(&probe, &shared, &config, Some((&wizer, context))).await? {
                    (signature, Some(snapshot)) => {
                        (signature, Initialisation::Snapshot, self.prepare(&snapshot, &grants)?)
                    }
                    (signature, None) => (signature, Initialisation::EveryCall, self.prepare(&wasm, &grants)?),
                }
            }
            None => {
                let pre = self.prepare(&wasm, &grants)?;
                let (signature, _) = self.initialise(&pre, &shared, &config, None).await?;
                (signature, Initialisation::EveryCall, pre)
            }
        };
        let (engine, stack) = (self.engine.clone(), self.limits.stack);
        Ok(Plugin { engine, pre, shared, config, signature, initialisation, stack })
    }

    /// Compiles, and links what was granted. Nothing of the component runs here.
    fn prepare(&self, wasm: &[u8], grants: &Grants) -> Result<StagePre, ActivationError> {
        if !is_component(wasm) {
            return Err(ActivationError::NotAComponent("it does not begin as one".into()));
        }
        let compile = |error: wasmtime::Error| ActivationError::Compile(format!("{error:#}"));
        let component = Component::new(&self.engine, wasm).map_err(compile)?;
        for (import, _) in component.component_type().imports(&self.engine) {
            wasi::check_import(import, grants)?;
        }
        let mut linker = Linker::new(&self.engine);
        let stage = |error: wasmtime::Error| ActivationError::NotAStage(format!("{error:#}"));
        wasi::link(&mut linker, grants).and_then(|()| contract::link(&mut linker, grants)).map_err(stage)?;
        linker.instantiate_pre(&component).and_then(StagePre::new).map_err(stage)
    }

    /// Runs `init` in an instance of its own, and takes a snapshot of it where a wizer is given and nothing stands in the
    /// way.
    async fn initialise(
        &self,
        pre: &StagePre,
        shared: &Arc<Shared>,
        config: &str,
        wizer: Option<(&Wizer, ComponentContext<'_>)>,
    ) -> Result<(Signature, Option<Vec<u8>>), ActivationError> {
        let limits = &self.limits.init;
        let mut budget = Budget::new(limits);
        let mut lent = instance::lend(&self.engine, shared, &"init".into(), &mut budget);
        let store = &mut lent.store;
        let failed = |error| ActivationError::from(CallError::from_wasmtime(error, &self.bounds(limits)));
        let started = async {
            let instance = pre.instance_pre().instantiate_async(&mut *store).await.map_err(failed)?;
            let stage = Stage::new(&mut *store, &instance).map_err(failed)?;
            let signature = contract::init(&stage, &mut *store, config).await.map_err(failed)??;
            Ok((signature, instance))
        };
        let (signature, instance) = within_time(limits, started).await?;
        if !store.data().handles.is_empty() {
            return Err(ActivationError::KeptHandles);
        }
        // A plugin that printed in init holds its standard output: a stream of this instance, which no snapshot can carry.
        let holds_stream = !store.data().wasi_handles.is_empty();
        let Some((wizer, context)) = wizer.filter(|_| !holds_stream) else { return Ok((signature, None)) };
        instance::lift_limits(store);
        let mut accessors = Accessors { store, instance };
        let snapshot = wizer.snapshot_component(&context, &mut accessors).await;
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

impl Plugin {
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub fn initialisation(&self) -> Initialisation {
        self.initialisation
    }

    /// Runs the stage in a fresh instance. `inputs` are in the order of the signature, and so are the outputs.
    pub async fn call(
        &self,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
        budget: &mut Budget,
    ) -> Result<NamedTensors, CallError> {
        let bounds = Bounds { fuel: budget.fuel_limit(), stack: self.stack };
        let deadline = budget.deadline().into();
        let timeout = budget.exceeded(Limit::Time);
        let mut lent = instance::lend(&self.engine, &self.shared, request, budget);
        // Guests are stopped at epochs; the timeout stops what waits in the host.
        let result = tokio::time::timeout_at(deadline, self.run(&mut lent.store, inputs, parameters)).await;
        let result = result.unwrap_or_else(|_| Err(timeout.into()));
        drop(lent);
        let outputs = match result.map_err(|error| CallError::from_wasmtime(error, &bounds))? {
            Ok(outputs) => outputs,
            Err(Failure::InvalidInput(text)) => return Err(CallError::InvalidInput(clip(text))),
            Err(Failure::Unavailable(text)) => return Err(CallError::Unavailable(clip(text))),
            Err(Failure::Internal(text)) => return Err(CallError::Internal(clip(text))),
        };
        Ok(tensor::arrange(&self.signature.outputs, outputs)?)
    }

    async fn run(
        &self,
        store: &mut wasmtime::Store<State>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> wasmtime::Result<Result<NamedTensors, Failure>> {
        let stage = self.pre.instantiate_async(&mut *store).await?;
        if self.initialisation == Initialisation::EveryCall {
            let again = contract::init(&stage, store, &self.config).await?;
            if let Err(error) = again {
                return Ok(Err(Failure::Internal(format!("init refused what it accepted before: {error}"))));
            }
        }
        contract::process(&stage, store, inputs, parameters).await
    }
}
