//! Calls of the host through the generated bindings, and the exported functions of a component. The public items here are
//! for [`crate::plugin!`] and [`crate::generator!`] only.

use std::cell::OnceCell;

use crate::{Emitter, Generator, Inputs, Outputs, Parameters, Plugin, Tensor};

mod bindings {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "model-plugin",
        pub_export_macro: true,
        export_macro_name: "export_stage",
        default_bindings_module: "$crate::__component::stage",
    });
}

mod streaming {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "generator-plugin",
        pub_export_macro: true,
        export_macro_name: "export_generator",
        default_bindings_module: "$crate::__component::generator",
        with: {
            "bulkhead:plugin/tensors@0.1.0": super::bindings::bulkhead::plugin::tensors,
            "bulkhead:plugin/types@0.1.0": super::bindings::bulkhead::plugin::types,
            "bulkhead:plugin/assets@0.1.0": super::bindings::bulkhead::plugin::assets,
            "bulkhead:plugin/logging@0.1.0": super::bindings::bulkhead::plugin::logging,
            "bulkhead:plugin/graphs@0.1.0": super::bindings::bulkhead::plugin::graphs,
        },
    });
}

/// Items that the macro of a stage uses.
pub mod stage {
    pub use super::bindings::exports::bulkhead::plugin::stage::Guest;
    pub use super::bindings::{export_stage as export, exports};
}

/// Items that the macro of a generator uses.
pub mod generator {
    pub use super::streaming::exports::bulkhead::plugin::generator::Guest;
    pub use super::streaming::{export_generator as export, exports};
}

use bindings::bulkhead::plugin::tensors;
pub use bindings::bulkhead::plugin::types::{Failure, Parameter, Signature};
pub use tensors::NamedTensor;

pub fn init<P: Plugin>(plugin: &OnceCell<P>, config: &str) -> Result<Signature, String> {
    let started = P::init(read(config)?).map_err(|error| error.to_string())?;
    let signature = started.signature();
    keep(plugin, started, signature)
}

pub fn init_generator<G: Generator>(generator: &OnceCell<G>, config: &str) -> Result<Signature, String> {
    let started = G::init(read(config)?).map_err(|error| error.to_string())?;
    let signature = started.signature();
    keep(generator, started, signature)
}

fn read<C: serde::de::DeserializeOwned>(config: &str) -> Result<C, String> {
    serde_json::from_str(config).map_err(|error| format!("config: {error}"))
}

fn keep<P>(place: &OnceCell<P>, started: P, signature: crate::Signature) -> Result<Signature, String> {
    if place.set(started).is_err() {
        return Err("init was called twice".into());
    }
    Ok(Signature {
        inputs: signature.inputs.into_iter().map(tensors::TensorSpec::from).collect(),
        outputs: signature.outputs.into_iter().map(tensors::TensorSpec::from).collect(),
    })
}

pub fn process<P: Plugin>(
    plugin: &OnceCell<P>,
    inputs: Vec<NamedTensor>,
    parameters: Vec<Parameter>,
) -> Result<Vec<NamedTensor>, Failure> {
    let plugin = plugin.get().ok_or_else(|| Failure::Internal("process was called before init".into()))?;
    let outputs = plugin.process(host::from_wire(inputs), &from_wire(parameters)).map_err(Failure::from)?;
    Ok(host::to_wire(outputs.0))
}

pub fn generate<G: Generator>(
    generator: &OnceCell<G>,
    inputs: Vec<NamedTensor>,
    parameters: Vec<Parameter>,
) -> Result<(), Failure> {
    let generator = generator.get().ok_or_else(|| Failure::Internal("generate was called before init".into()))?;
    let ended = generator.generate(host::from_wire(inputs), &from_wire(parameters), &Emitter::new());
    ended.map_err(Failure::from)
}

fn from_wire(parameters: Vec<Parameter>) -> Parameters {
    Parameters(parameters.into_iter().map(|parameter| (parameter.name, parameter.value.into())).collect())
}

impl From<crate::TensorSpec> for tensors::TensorSpec {
    fn from(spec: crate::TensorSpec) -> Self {
        Self { name: spec.name, datatype: spec.datatype.into(), shape: spec.shape }
    }
}

impl From<tensors::TensorSpec> for crate::TensorSpec {
    fn from(spec: tensors::TensorSpec) -> Self {
        Self { name: spec.name, datatype: spec.datatype.into(), shape: spec.shape }
    }
}

impl From<crate::Failure> for Failure {
    fn from(failure: crate::Failure) -> Self {
        match failure {
            crate::Failure::InvalidInput(text) => Failure::InvalidInput(text),
            crate::Failure::Unavailable(text) => Failure::Unavailable(text),
            crate::Failure::Internal(text) => Failure::Internal(text),
        }
    }
}

impl From<bindings::bulkhead::plugin::types::Value> for crate::Value {
    fn from(value: bindings::bulkhead::plugin::types::Value) -> Self {
        use bindings::bulkhead::plugin::types::Value;
        match value {
            Value::Boolean(v) => crate::Value::Boolean(v),
            Value::Integer(v) => crate::Value::Integer(v),
            Value::Number(v) => crate::Value::Number(v),
            Value::Text(v) => crate::Value::Text(v),
        }
    }
}

macro_rules! datatypes {
    ($($name:ident)*) => {
        impl From<crate::Datatype> for tensors::Datatype {
            fn from(datatype: crate::Datatype) -> Self {
                match datatype { $(crate::Datatype::$name => tensors::Datatype::$name,)* }
            }
        }

        impl From<tensors::Datatype> for crate::Datatype {
            fn from(datatype: tensors::Datatype) -> Self {
                match datatype { $(tensors::Datatype::$name => crate::Datatype::$name,)* }
            }
        }
    };
}

datatypes!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Bf16 Fp32 Fp64 Bytes);

/// The imports, under the names that the rest of the SDK uses.
pub(crate) mod host {
    use super::bindings::bulkhead::plugin::{assets, graphs, logging};
    use super::*;
    use crate::log::Level;
    use crate::{Datatype, TensorSpec};

    pub(crate) struct Handle(tensors::Tensor);

    impl Handle {
        pub(crate) fn create(datatype: Datatype, shape: &[u64], data: &[u8]) -> Result<Handle, String> {
            tensors::Tensor::create(datatype.into(), shape, data).map(Handle)
        }

        pub(crate) fn describe(&self) -> (Datatype, Vec<u64>, u64) {
            let description = self.0.describe();
            (description.datatype.into(), description.shape, description.byte_size)
        }

        pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, String> {
            self.0.read(offset, length)
        }

        pub(crate) fn reshape(&self, shape: &[u64]) -> Result<Handle, String> {
            self.0.reshape(shape).map(Handle)
        }
    }

    pub(crate) struct BuilderHandle(tensors::TensorBuilder);

    impl BuilderHandle {
        pub(crate) fn create(datatype: Datatype, shape: &[u64]) -> Result<BuilderHandle, String> {
            tensors::TensorBuilder::create(datatype.into(), shape).map(BuilderHandle)
        }

        pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), String> {
            self.0.append(data)
        }

        pub(crate) fn finish(self) -> Result<Handle, String> {
            tensors::TensorBuilder::finish(self.0).map(Handle)
        }
    }

    pub(crate) struct OpenGraph(graphs::Graph);

    impl OpenGraph {
        pub(crate) fn inputs(&self) -> Vec<TensorSpec> {
            self.0.inputs().into_iter().map(TensorSpec::from).collect()
        }

        pub(crate) fn outputs(&self) -> Vec<TensorSpec> {
            self.0.outputs().into_iter().map(TensorSpec::from).collect()
        }

        pub(crate) fn run(&self, inputs: Inputs) -> Result<Outputs, String> {
            let outputs = self.0.run(to_wire(inputs.0))?;
            Ok(Outputs(from_wire(outputs).0))
        }
    }

    pub(crate) fn open_graph(name: &str) -> Result<OpenGraph, String> {
        graphs::Graph::open(name).map(OpenGraph)
    }

    pub(crate) fn read_asset(path: &str) -> Result<Vec<u8>, String> {
        assets::read(path)
    }

    pub(crate) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Trace => logging::Level::Trace,
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warn => logging::Level::Warn,
            Level::Error => logging::Level::Error,
        };
        logging::log(level, message);
    }

    pub(crate) fn emit(outputs: Outputs) -> bool {
        super::streaming::bulkhead::plugin::emitter::emit(to_wire(outputs.0))
    }

    pub(crate) fn from_wire(tensors: Vec<NamedTensor>) -> Inputs {
        let named = tensors.into_iter().map(|t| (t.name, Tensor::from_handle(Handle(t.tensor))));
        Inputs(named.collect())
    }

    pub(crate) fn to_wire(tensors: Vec<(String, Tensor)>) -> Vec<NamedTensor> {
        let wire = tensors.into_iter().map(|(name, tensor)| NamedTensor { name, tensor: tensor.handle.0 });
        wire.collect()
    }
}
