//! Rust bindings of `wit/v0.1`, the small imports, and the calls that the host makes. The imports with resources are linked
//! by hand in `tensors` and `graphs`, and the import that waits in `emitter`. A later version of the contract gets a file
//! beside this one.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::config::clip;
use crate::sandbox::host_state::HostState;
use crate::sandbox::plugin_log::Level;
use crate::sandbox::{ActivationError, ParameterValue, Parameters};
use crate::tensor::{Datatype, NamedTensors, Signature, Tensor, TensorSpec};

pub mod stage {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "bulkhead:plugin/tensors.tensor": crate::tensor::Tensor,
            "bulkhead:plugin/tensors.tensor-builder": crate::sandbox::imports::tensors::Building,
        },
    });
}

mod generator {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        inline: "package bulkhead:host; world streaming { export bulkhead:plugin/generator@0.1.0; }",
        world: "bulkhead:host/streaming",
        exports: { default: async },
        with: {
            "bulkhead:plugin/tensors": super::stage::bulkhead::plugin::tensors,
            "bulkhead:plugin/types": super::stage::bulkhead::plugin::types,
        },
    });
}

pub(crate) use self::stage::bulkhead::plugin::tensors as wire;
use self::stage::bulkhead::plugin::{assets, logging, types};
pub(crate) use types::Failure;
use types::{Parameter, Value};

/// A linked component. Its exports decide whether it is a stage or a generator.
pub(crate) enum Linked {
    Stage(stage::PluginPre<HostState>),
    Generator(generator::StreamingPre<HostState>),
}

/// An instance of a component. Its `init` is part of the snapshot, or must still be called.
pub(crate) enum Started {
    Stage(stage::Plugin),
    Generator(generator::Streaming),
}

/// Bytes of a page, the unit in which WebAssembly counts memory.
const WASM_PAGE: u64 = 64 << 10;

const GENERATOR: &str = "bulkhead:plugin/generator@0.1.0";

impl Linked {
    pub fn new(pre: InstancePre<HostState>) -> wasmtime::Result<Linked> {
        Ok(match pre.component().get_export_index(None, GENERATOR) {
            Some(_) => Linked::Generator(generator::StreamingPre::new(pre)?),
            None => Linked::Stage(stage::PluginPre::new(pre)?),
        })
    }

    /// Upper bound on the bytes of memory that an instance begins with; `None` if only an instance can report it.
    pub fn initial_memory(&self) -> Option<u64> {
        let component = match self {
            Linked::Stage(pre) => pre.instance_pre().component(),
            Linked::Generator(pre) => pre.instance_pre().component(),
        };
        let required = component.resources_required()?;
        let largest = required.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE);
        Some(largest.saturating_mul(required.num_memories.into()))
    }

    pub async fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Started> {
        Ok(match self {
            Linked::Stage(pre) => Started::Stage(pre.instantiate_async(store).await?),
            Linked::Generator(pre) => Started::Generator(pre.instantiate_async(store).await?),
        })
    }

    /// Like `instantiate`, but also returns the instance, from which a snapshot is made.
    pub async fn instantiate_for_snapshot(
        &self,
        store: &mut Store<HostState>,
    ) -> wasmtime::Result<(Started, Instance)> {
        match self {
            Linked::Stage(pre) => {
                let instance = pre.instance_pre().instantiate_async(&mut *store).await?;
                Ok((Started::Stage(stage::Plugin::new(store, &instance)?), instance))
            }
            Linked::Generator(pre) => {
                let instance = pre.instance_pre().instantiate_async(&mut *store).await?;
                Ok((Started::Generator(generator::Streaming::new(store, &instance)?), instance))
            }
        }
    }
}

impl Started {
    pub async fn init(&self, store: &mut Store<HostState>, config: &str) -> wasmtime::Result<InitResult> {
        let signature = match self {
            Started::Stage(stage) => stage.bulkhead_plugin_stage().call_init(store, config).await?,
            Started::Generator(generator) => generator.bulkhead_plugin_generator().call_init(store, config).await?,
        };
        Ok(signature.map_err(|text| ActivationError::InitRefused(clip(text))).and_then(|signature| {
            Ok(Signature { inputs: specs(signature.inputs)?, outputs: specs(signature.outputs)? })
        }))
    }

    /// Runs the plugin. A stage returns its outputs; a generator has given all its responses to the sink, and returns none.
    pub async fn run(
        &self,
        store: &mut Store<HostState>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> wasmtime::Result<Result<NamedTensors, Failure>> {
        let inputs = lend_tensors(store.data_mut(), inputs)?;
        let parameters: Vec<Parameter> = parameters.iter().map(to_wire).collect();
        match self {
            Started::Stage(stage) => {
                let stage = stage.bulkhead_plugin_stage();
                match stage.call_process(&mut *store, &inputs, &parameters).await? {
                    Ok(outputs) => Ok(Ok(take_tensors(store.data_mut(), outputs)?)),
                    Err(failure) => Ok(Err(failure)),
                }
            }
            Started::Generator(generator) => {
                let generator = generator.bulkhead_plugin_generator();
                let ended = generator.call_generate(&mut *store, &inputs, &parameters).await?;
                Ok(ended.map(|()| NamedTensors::new()))
            }
        }
    }
}

pub(crate) type InitResult = Result<Signature, ActivationError>;

pub(crate) fn lend_tensors(state: &mut HostState, named: NamedTensors) -> wasmtime::Result<Vec<wire::NamedTensor>> {
    let lend = |(name, tensor): (Arc<str>, Tensor)| {
        Ok(wire::NamedTensor { name: name.to_string(), tensor: state.handles.push(tensor)? })
    };
    named.into_iter().map(lend).collect()
}

pub(crate) fn take_tensors(state: &mut HostState, named: Vec<wire::NamedTensor>) -> wasmtime::Result<NamedTensors> {
    let take = |named: wire::NamedTensor| {
        let length = named.name.len();
        wasmtime::ensure!(length <= MAX_NAME, "a tensor's name has {length} bytes; at most {MAX_NAME} are allowed");
        Ok((named.name.into(), state.handles.delete(named.tensor)?))
    };
    named.into_iter().map(take).collect()
}

fn to_wire((name, value): &(String, ParameterValue)) -> Parameter {
    let value = match value {
        ParameterValue::Boolean(v) => Value::Boolean(*v),
        ParameterValue::Integer(v) => Value::Integer(*v),
        ParameterValue::Number(v) => Value::Number(*v),
        ParameterValue::Text(v) => Value::Text(v.clone()),
    };
    Parameter { name: name.clone(), value }
}

/// Bounds on the tensors of a signature and on names, far above what real plugins declare.
const MAX_TENSORS: usize = 256;
const MAX_DIMENSIONS: usize = 32;
const MAX_NAME: usize = 256;

fn specs(specs: Vec<wire::TensorSpec>) -> Result<Vec<TensorSpec>, ActivationError> {
    let too_large = |spec: &wire::TensorSpec| spec.name.len() > MAX_NAME || spec.shape.len() > MAX_DIMENSIONS;
    if specs.len() > MAX_TENSORS || specs.iter().any(too_large) {
        return Err(ActivationError::Signature(format!(
            "it declares {} tensors; the limits are {MAX_TENSORS} tensors, names of {MAX_NAME} bytes, {MAX_DIMENSIONS} dimensions",
            specs.len()
        )));
    }
    for (at, spec) in specs.iter().enumerate() {
        if specs[..at].iter().any(|earlier| earlier.name == spec.name) {
            return Err(ActivationError::Signature(format!("tensor \"{}\" is declared twice", spec.name)));
        }
        if let Some(wrong) = spec.shape.iter().find(|dimension| **dimension < -1) {
            let name = &spec.name;
            return Err(ActivationError::Signature(format!(
                "tensor \"{name}\" has the dimension {wrong}; use -1 for any size"
            )));
        }
    }
    let spec = |s: wire::TensorSpec| TensorSpec { name: s.name.into(), datatype: s.datatype.into(), shape: s.shape };
    Ok(specs.into_iter().map(spec).collect())
}

impl assets::Host for HostState {
    fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let assets = &self.shared.assets;
        let Some(content) = assets.get(&path) else {
            let listed = assets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Ok(Err(format!("no asset \"{path}\"; the manifest lists: {listed}")));
        };
        let _copy = self.budget.charge_memory(content.len() as u64)?;
        Ok(Ok(content.to_vec()))
    }
}

impl logging::Host for HostState {
    fn log(&mut self, level: logging::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            logging::Level::Trace => Level::Trace,
            logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error => Level::Error,
        };
        self.log().line(level, &message)?;
        Ok(())
    }
}

impl From<&TensorSpec> for wire::TensorSpec {
    fn from(spec: &TensorSpec) -> Self {
        Self { name: spec.name.to_string(), datatype: spec.datatype.into(), shape: spec.shape.clone() }
    }
}

macro_rules! datatypes {
    ($($name:ident)*) => {
        impl From<Datatype> for wire::Datatype {
            fn from(datatype: Datatype) -> Self {
                match datatype { $(Datatype::$name => wire::Datatype::$name,)* }
            }
        }

        impl From<wire::Datatype> for Datatype {
            fn from(datatype: wire::Datatype) -> Self {
                match datatype { $(wire::Datatype::$name => Datatype::$name,)* }
            }
        }
    };
}

datatypes!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Bf16 Fp32 Fp64 Bytes);
