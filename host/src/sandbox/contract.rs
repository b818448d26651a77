//! The contract in Rust: bindings of `wit/v0.1`, the small imports, and the two calls that the host makes. The imports with
//! resources are linked by hand in `tensors` and `graphs`; a later version of the contract gets a file beside this one.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use super::instance::State;
use super::stdio::Level;
use super::{ActivationError, ParameterValue, Parameters, graphs, tensors};
use crate::config::clip;
use crate::tenant::{Capability, Grants};
use crate::tensor::{Datatype, NamedTensors, Signature, Tensor, TensorSpec};

wasmtime::component::bindgen!({
    path: "../wit/v0.1",
    world: "plugin",
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "bulkhead:plugin/tensors.tensor": crate::tensor::Tensor,
        "bulkhead:plugin/tensors.tensor-builder": super::tensors::Building,
    },
});

pub(super) use self::bulkhead::plugin::tensors as wire;
use self::bulkhead::plugin::{assets, logging};
pub(super) use exports::bulkhead::plugin::stage::Failure;
use exports::bulkhead::plugin::stage::{Parameter, Value};

pub(super) type Stage = Plugin;
pub(super) type StagePre = PluginPre<State>;

/// Links the imports of the contract that were granted.
pub(super) fn link(linker: &mut Linker<State>, grants: &Grants) -> wasmtime::Result<()> {
    tensors::link(linker)?;
    if grants.has(Capability::Assets) {
        assets::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    }
    if grants.has(Capability::Logging) {
        logging::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    }
    if grants.has(Capability::Graphs) {
        graphs::link(linker)?;
    }
    Ok(())
}

pub(super) async fn init(stage: &Stage, store: &mut Store<State>, config: &str) -> wasmtime::Result<InitResult> {
    let signature = stage.bulkhead_plugin_stage().call_init(store, config).await?;
    Ok(signature
        .map_err(|text| ActivationError::InitRefused(clip(text)))
        .and_then(|signature| Ok(Signature { inputs: specs(signature.inputs)?, outputs: specs(signature.outputs)? })))
}

pub(super) type InitResult = Result<Signature, ActivationError>;

pub(super) async fn process(
    stage: &Stage,
    store: &mut Store<State>,
    inputs: NamedTensors,
    parameters: &Parameters,
) -> wasmtime::Result<Result<NamedTensors, Failure>> {
    let inputs = lend_tensors(store.data_mut(), inputs)?;
    let parameters: Vec<Parameter> = parameters.iter().map(to_wire).collect();
    match stage.bulkhead_plugin_stage().call_process(&mut *store, &inputs, &parameters).await? {
        Ok(outputs) => Ok(Ok(take_tensors(store.data_mut(), outputs)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

pub(super) fn lend_tensors(state: &mut State, named: NamedTensors) -> wasmtime::Result<Vec<wire::NamedTensor>> {
    let lend = |(name, tensor): (Arc<str>, Tensor)| {
        Ok(wire::NamedTensor { name: name.to_string(), tensor: state.handles.push(tensor)? })
    };
    named.into_iter().map(lend).collect()
}

pub(super) fn take_tensors(state: &mut State, named: Vec<wire::NamedTensor>) -> wasmtime::Result<NamedTensors> {
    let take = |named: wire::NamedTensor| {
        let length = named.name.len();
        wasmtime::ensure!(length <= MAX_NAME, "a tensor's name of {length} bytes, and {MAX_NAME} are allowed");
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

/// Far beyond what anything real declares.
const MAX_TENSORS: usize = 256;
const MAX_DIMENSIONS: usize = 32;
const MAX_NAME: usize = 256;

fn specs(specs: Vec<wire::TensorSpec>) -> Result<Vec<TensorSpec>, ActivationError> {
    let too_large = |spec: &wire::TensorSpec| spec.name.len() > MAX_NAME || spec.shape.len() > MAX_DIMENSIONS;
    if specs.len() > MAX_TENSORS || specs.iter().any(too_large) {
        return Err(ActivationError::Signature(format!(
            "it declares {} tensors; {MAX_TENSORS} may be, with names of {MAX_NAME} bytes and {MAX_DIMENSIONS} dimensions",
            specs.len()
        )));
    }
    for (at, spec) in specs.iter().enumerate() {
        if specs[..at].iter().any(|earlier| earlier.name == spec.name) {
            return Err(ActivationError::Signature(format!("tensor \"{}\" is declared twice", spec.name)));
        }
        if let Some(wrong) = spec.shape.iter().find(|dimension| **dimension < -1) {
            let name = &spec.name;
            return Err(ActivationError::Signature(format!("tensor \"{name}\" has a dimension of {wrong}; -1 varies")));
        }
    }
    let spec = |s: wire::TensorSpec| TensorSpec { name: s.name.into(), datatype: s.datatype.into(), shape: s.shape };
    Ok(specs.into_iter().map(spec).collect())
}

impl assets::Host for State {
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

impl logging::Host for State {
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
