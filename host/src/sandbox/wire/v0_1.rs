//! Generated types of `wit/v0.1`, and conversions between them and the types of the host.

use std::sync::Arc;

use crate::config::clip;
use crate::sandbox::cost;
use crate::sandbox::host_state::HostState;
use crate::sandbox::{ActivationError, ParameterValue};
use crate::tensor::{Datatype, MAX_DIMENSIONS, NamedTensors, Signature, Tensor, TensorSpec};

/// The version in the names of the interfaces.
pub(crate) const VERSION: &str = "0.1.0";

#[expect(unreachable_pub, reason = "wasmtime's bindgen re-exports it with `pub`")]
pub mod stage {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "bulkhead:plugin/tensors.tensor": crate::tensor::Tensor,
            "bulkhead:plugin/tensors.tensor-builder": crate::sandbox::host_state::Building,
        },
    });
}

pub(crate) mod generator {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        // bindgen takes a literal only. Another version than that of the path does not compile.
        inline: "package bulkhead:host; world streaming { export bulkhead:plugin/generator@0.1.0; }",
        world: "bulkhead:host/streaming",
        exports: { default: async },
        with: {
            "bulkhead:plugin/tensors": super::stage::bulkhead::plugin::tensors,
            "bulkhead:plugin/types": super::stage::bulkhead::plugin::types,
        },
    });
}

use self::stage::bulkhead::plugin::types::{self, Value};
pub(crate) use self::stage::bulkhead::plugin::{assets, logging, tensors};
pub(crate) use types::{Failure, Parameter};

/// The full name of an interface of the contract.
pub(crate) fn interface(name: &str) -> String {
    format!("bulkhead:plugin/{name}@{VERSION}")
}

pub(crate) fn lend_tensors(state: &mut HostState, named: NamedTensors) -> wasmtime::Result<Vec<tensors::NamedTensor>> {
    let lend = |(name, tensor): (Arc<str>, Tensor)| {
        Ok(tensors::NamedTensor { name: name.to_string(), tensor: state.handles.push(tensor)? })
    };
    named.into_iter().map(lend).collect()
}

/// Takes tensors from a plugin, at the plugin's cost.
pub(crate) fn take_tensors(state: &mut HostState, named: Vec<tensors::NamedTensor>) -> wasmtime::Result<NamedTensors> {
    state.charge(cost::TAKE_TENSORS, named.len() as u64)?;
    state.charge(cost::TEXT, named.iter().map(|named| named.name.len() as u64).sum())?;
    let take = |named: tensors::NamedTensor| {
        let length = named.name.len();
        wasmtime::ensure!(length <= MAX_NAME, "a tensor's name has {length} bytes; at most {MAX_NAME} are allowed");
        Ok((named.name.into(), state.handles.delete(named.tensor)?))
    };
    named.into_iter().map(take).collect()
}

pub(crate) fn to_wire((name, value): &(String, ParameterValue)) -> Parameter {
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
const MAX_NAME: usize = 256;

/// The result of `init`: an error if the plugin refused, or if its signature cannot be one.
pub(crate) fn init_result(result: Result<types::Signature, String>) -> Result<Signature, ActivationError> {
    let signature = result.map_err(|text| ActivationError::InitRefused(clip(text)))?;
    Ok(Signature { inputs: specs(signature.inputs)?, outputs: specs(signature.outputs)? })
}

fn specs(specs: Vec<tensors::TensorSpec>) -> Result<Vec<TensorSpec>, ActivationError> {
    let too_large = |spec: &tensors::TensorSpec| spec.name.len() > MAX_NAME || spec.shape.len() > MAX_DIMENSIONS;
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
    let spec = |s: tensors::TensorSpec| TensorSpec { name: s.name.into(), datatype: s.datatype.into(), shape: s.shape };
    Ok(specs.into_iter().map(spec).collect())
}

impl From<&TensorSpec> for tensors::TensorSpec {
    fn from(spec: &TensorSpec) -> Self {
        Self { name: spec.name.to_string(), datatype: spec.datatype.into(), shape: spec.shape.clone() }
    }
}

macro_rules! conversions {
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

conversions!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Bf16 Fp32 Fp64 Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_frozen_text() {
        let text = include_str!("../../../../wit/v0.1/plugin.wit");
        assert!(text.contains(&format!("package bulkhead:plugin@{VERSION};")));
    }
}
