//! Version 0.1 of the contract, `wit/v0.1`: the calls that the host makes. The imports are in `sandbox/imports`, the
//! generated types in `sandbox/wire`.

use futures_util::future::BoxFuture;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use super::{Contract, InitResult, Linked};
use crate::config::clip;
use crate::sandbox::host_state::HostState;
use crate::sandbox::wire::v0_1::{self as wire, Failure, Parameter, generator, stage};
use crate::sandbox::{CallError, Parameters, cost, imports};
use crate::tenant::Grants;
use crate::tensor::NamedTensors;

pub(crate) struct V0_1;

/// The exports of a component decide whether it is a stage or a generator.
enum Exports {
    Stage(stage::PluginPre<HostState>),
    Generator(generator::StreamingPre<HostState>),
}

/// An instance of a component. Its `init` is part of the snapshot, or must still be called.
enum Started {
    Stage(stage::Plugin),
    Generator(generator::Streaming),
}

impl Contract for V0_1 {
    fn link_imports(&self, linker: &mut Linker<HostState>, grants: &Grants) -> wasmtime::Result<()> {
        imports::link(linker, grants)
    }

    fn bind(&self, component: InstancePre<HostState>) -> wasmtime::Result<Box<dyn Linked>> {
        let generator = component.component().get_export_index(None, wire::interface("generator"));
        Ok(Box::new(match generator {
            Some(_) => Exports::Generator(generator::StreamingPre::new(component)?),
            None => Exports::Stage(stage::PluginPre::new(component)?),
        }))
    }
}

impl Linked for Exports {
    fn is_generator(&self) -> bool {
        matches!(self, Exports::Generator(_))
    }

    fn component(&self) -> &Component {
        self.instance_pre().component()
    }

    fn init<'a>(
        &'a self,
        store: &'a mut Store<HostState>,
        config: &'a str,
    ) -> BoxFuture<'a, wasmtime::Result<(InitResult, Instance)>> {
        Box::pin(async move {
            let instance = self.instance_pre().instantiate_async(&mut *store).await?;
            let started = match self {
                Exports::Stage(_) => Started::Stage(stage::Plugin::new(&mut *store, &instance)?),
                Exports::Generator(_) => Started::Generator(generator::Streaming::new(&mut *store, &instance)?),
            };
            Ok((started.init(store, config).await?, instance))
        })
    }

    fn call<'a>(
        &'a self,
        store: &'a mut Store<HostState>,
        config: Option<&'a str>,
        inputs: NamedTensors,
        parameters: &'a Parameters,
    ) -> BoxFuture<'a, wasmtime::Result<Result<NamedTensors, CallError>>> {
        Box::pin(async move {
            let started = self.instantiate(store).await?;
            if let Some(config) = config
                && let Err(error) = started.init(store, config).await?
            {
                let text = format!("init refused what it accepted before: {error}");
                return Ok(Err(CallError::Internal(clip(text))));
            }
            let outputs = started.run(store, inputs, parameters).await?;
            Ok(outputs.map_err(CallError::from))
        })
    }
}

impl Exports {
    fn instance_pre(&self) -> &InstancePre<HostState> {
        match self {
            Exports::Stage(pre) => pre.instance_pre(),
            Exports::Generator(pre) => pre.instance_pre(),
        }
    }

    async fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Started> {
        Ok(match self {
            Exports::Stage(pre) => Started::Stage(pre.instantiate_async(store).await?),
            Exports::Generator(pre) => Started::Generator(pre.instantiate_async(store).await?),
        })
    }
}

impl Started {
    async fn init(&self, store: &mut Store<HostState>, config: &str) -> wasmtime::Result<InitResult> {
        let signature = match self {
            Started::Stage(stage) => stage.bulkhead_plugin_stage().call_init(store, config).await?,
            Started::Generator(generator) => generator.bulkhead_plugin_generator().call_init(store, config).await?,
        };
        Ok(wire::init_result(signature))
    }

    async fn run(
        &self,
        store: &mut Store<HostState>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> wasmtime::Result<Result<NamedTensors, Failure>> {
        let inputs = wire::lend_tensors(store.data_mut(), inputs)?;
        let parameters: Vec<Parameter> = parameters.iter().map(wire::to_wire).collect();
        match self {
            Started::Stage(stage) => {
                let stage = stage.bulkhead_plugin_stage();
                match stage.call_process(&mut *store, &inputs, &parameters).await? {
                    Ok(outputs) => Ok(Ok(wire::take_tensors(store.data_mut(), outputs)?)),
                    Err(failure) => Ok(Err(charged(store.data_mut(), failure)?)),
                }
            }
            Started::Generator(generator) => {
                let generator = generator.bulkhead_plugin_generator();
                let ended = generator.call_generate(&mut *store, &inputs, &parameters).await?;
                match ended {
                    Ok(()) => Ok(Ok(NamedTensors::new())),
                    Err(failure) => Ok(Err(charged(store.data_mut(), failure)?)),
                }
            }
        }
    }
}

/// Charges the text of a failure, which was copied out of the plugin.
fn charged(state: &mut HostState, failure: Failure) -> wasmtime::Result<Failure> {
    let (Failure::InvalidInput(text) | Failure::Unavailable(text) | Failure::Internal(text)) = &failure;
    state.charge(cost::TEXT, text.len() as u64)?;
    Ok(failure)
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::InvalidInput(text) => CallError::InvalidInput(clip(text)),
            Failure::Unavailable(text) => CallError::Unavailable(clip(text)),
            Failure::Internal(text) => CallError::Internal(clip(text)),
        }
    }
}
