//! The contract in Rust: bindings of `wit/v0.1`, the imports that the host answers, and the two calls that it makes.
//! Only this file names generated bindings; a later version of the contract gets a file beside it.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker, Resource};

use super::instance::State;
use super::stdio::Level;
use super::{ActivationError, ParameterValue, Parameters, graphs};
use crate::tenant::{Capability, Grants};
use crate::tensor::{Datatype, NamedTensors, Signature, Tensor, TensorSpec};

wasmtime::component::bindgen!({
    path: "../wit/v0.1",
    world: "plugin",
    imports: { default: trappable },
    exports: { default: async },
    with: { "bulkhead:plugin/tensors.tensor": crate::tensor::Tensor },
});

pub(super) use self::bulkhead::plugin::tensors;
use self::bulkhead::plugin::{assets, logging};
pub(super) use exports::bulkhead::plugin::stage::Failure;
use exports::bulkhead::plugin::stage::{Parameter, Value};

pub(super) type Stage = Plugin;
pub(super) type StagePre = PluginPre<State>;

/// Links the imports of the contract that were granted.
pub(super) fn link(linker: &mut Linker<State>, grants: &Grants) -> wasmtime::Result<()> {
    tensors::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
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
        .map_err(ActivationError::InitRefused)
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

pub(super) fn lend_tensors(state: &mut State, named: NamedTensors) -> wasmtime::Result<Vec<tensors::NamedTensor>> {
    let lend = |(name, tensor): (Arc<str>, Tensor)| {
        Ok(tensors::NamedTensor { name: name.to_string(), tensor: state.handles.push(tensor)? })
    };
    named.into_iter().map(lend).collect()
}

pub(super) fn take_tensors(state: &mut State, named: Vec<tensors::NamedTensor>) -> wasmtime::Result<NamedTensors> {
    let take = |named: tensors::NamedTensor| Ok((named.name.into(), state.handles.delete(named.tensor)?));
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

fn specs(specs: Vec<tensors::TensorSpec>) -> Result<Vec<TensorSpec>, ActivationError> {
    for (at, spec) in specs.iter().enumerate() {
        if specs[..at].iter().any(|earlier| earlier.name == spec.name) {
            return Err(ActivationError::Signature(format!("tensor \"{}\" is declared twice", spec.name)));
        }
        if let Some(wrong) = spec.shape.iter().find(|dimension| **dimension < -1) {
            let name = &spec.name;
            return Err(ActivationError::Signature(format!("tensor \"{name}\" has a dimension of {wrong}; -1 varies")));
        }
    }
    let spec = |s: tensors::TensorSpec| TensorSpec { name: s.name.into(), datatype: s.datatype.into(), shape: s.shape };
    Ok(specs.into_iter().map(spec).collect())
}

impl tensors::Host for State {}

impl tensors::HostTensor for State {
    fn create(
        &mut self,
        datatype: tensors::Datatype,
        shape: Vec<u64>,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<Resource<Tensor>, String>> {
        match Tensor::new(datatype.into(), shape, self.budget.hold(data)?) {
            Ok(tensor) => Ok(Ok(self.handles.push(tensor)?)),
            Err(error) => Ok(Err(format!("the tensor {error}"))),
        }
    }

    fn describe(&mut self, tensor: Resource<Tensor>) -> wasmtime::Result<tensors::Description> {
        let tensor = self.handles.get(&tensor)?;
        Ok(tensors::Description {
            datatype: tensor.datatype().into(),
            shape: tensor.shape().to_vec(),
            byte_size: tensor.data().len() as u64,
        })
    }

    fn read(
        &mut self,
        tensor: Resource<Tensor>,
        offset: u64,
        length: u64,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let slice = self.handles.get(&tensor)?.slice(offset, length);
        Ok(slice.map(Vec::from).map_err(|error| format!("the tensor {error}")))
    }

    fn reshape(
        &mut self,
        tensor: Resource<Tensor>,
        shape: Vec<u64>,
    ) -> wasmtime::Result<Result<Resource<Tensor>, String>> {
        match self.handles.get(&tensor)?.reshape(shape) {
            Ok(reshaped) => Ok(Ok(self.handles.push(reshaped)?)),
            Err(error) => Ok(Err(format!("the tensor {error}"))),
        }
    }

    fn drop(&mut self, tensor: Resource<Tensor>) -> wasmtime::Result<()> {
        self.handles.delete(tensor)?;
        Ok(())
    }
}

impl assets::Host for State {
    fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let assets = &self.shared.assets;
        let listed = || assets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = assets.get(&path).map(|content| content.to_vec());
        Ok(found.ok_or_else(|| format!("no asset \"{path}\"; the manifest lists: {}", listed())))
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

impl From<&TensorSpec> for tensors::TensorSpec {
    fn from(spec: &TensorSpec) -> Self {
        Self { name: spec.name.to_string(), datatype: spec.datatype.into(), shape: spec.shape.clone() }
    }
}

macro_rules! datatypes {
    ($($name:ident)*) => {
        impl From<Datatype> for tensors::Datatype {
            fn from(datatype: Datatype) -> Self {
                match datatype { $(Datatype::$name => tensors::Datatype::$name,)* }
            }
        }

        impl From<tensors::Datatype> for Datatype {
            fn from(datatype: tensors::Datatype) -> Self {
                match datatype { $(tensors::Datatype::$name => Datatype::$name,)* }
            }
        }
    };
}

datatypes!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Bf16 Fp32 Fp64 Bytes);
