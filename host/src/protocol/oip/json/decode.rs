//! The decoder of inference requests in JSON, with or without binary tensors behind it.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::request::{Data, WireInput, WireOutput, WireRequest};
use crate::codec::error::DecodeError;
use crate::codec::json::elements;
use crate::codec::tensor_head::tensor_head;
use crate::inference::InferRequest;
use crate::numbers::to_usize;
use crate::sandbox::{ParameterValue, Parameters};
use crate::scheduler::CallContext;
use crate::tensor::{Datatype, NamedTensors, Tensor};

/// Decodes a request. `rest` is the part of the body after the JSON, the bytes of binary tensors, which become slices of
/// it. The parameter `binary_data_output` is left among the others, until those of the address are beside them.
pub fn decode_json(context: &CallContext, json: &Bytes, mut rest: Bytes) -> Result<InferRequest, DecodeError> {
    let wire = WireRequest::read(context, json)?;
    let inputs = wire.inputs.into_iter().map(|input| decode_input(input, &mut rest));
    let inputs = inputs.collect::<Result<NamedTensors, _>>()?;
    if rest.has_remaining() {
        return Err(DecodeError::BinaryLeft { left: rest.len() });
    }
    let parameters = wire.parameters.unwrap_or_default().0;
    let outputs = wire.outputs.map(|outputs| outputs.into_iter().map(WireOutput::wanted).collect()).transpose()?;
    Ok(InferRequest { id: wire.id, parameters, inputs, outputs, binary_output: false })
}

/// Removes `binary_data_output` from the parameters, because it is for the host and not for plugins. True if all outputs
/// are requested as bytes, unless an output says otherwise.
pub fn take_binary_output(parameters: &mut Parameters) -> Result<bool, DecodeError> {
    let Some(at) = parameters.iter().position(|(name, _)| name == "binary_data_output") else { return Ok(false) };
    match parameters.remove(at).1 {
        ParameterValue::Boolean(binary) => Ok(binary),
        _ => Err(DecodeError::BinaryOutput),
    }
}

fn decode_input(mut wire: WireInput, rest: &mut Bytes) -> Result<(Arc<str>, Tensor), DecodeError> {
    let name = wire.name.clone();
    let input = || name.clone();
    let (datatype, shape, _) = tensor_head(&wire.name, &wire.datatype, &wire.shape)?;
    let parameters = wire.parameters.take().unwrap_or_default();
    let data = match parameters.binary_data_size {
        _ if parameters.shared_memory_region.is_some() => Err(DecodeError::SharedMemory { tensor: input() }),
        Some(_) if wire.data.is_some() => Err(DecodeError::TwiceData { input: input() }),
        Some(size) if size > rest.len() as u64 => {
            Err(DecodeError::BinaryShort { input: input(), size, left: rest.len() })
        }
        Some(size) => Ok(rest.split_to(to_usize(size))),
        None => elements_of(&mut wire, datatype, &shape),
    }?;
    let tensor = Tensor::new(datatype, shape, data);
    let tensor = tensor.map_err(|error| DecodeError::Tensor { input: input(), error })?;
    Ok((wire.name.into(), tensor))
}

fn elements_of(wire: &mut WireInput, datatype: Datatype, shape: &[u64]) -> Result<Bytes, DecodeError> {
    match wire.data.take() {
        Some(Data::Read(bytes)) => Ok(bytes.into()),
        Some(Data::Text(text)) => match elements::parse_all(datatype, Some(shape), text) {
            Ok(elements) => Ok(elements.bytes.into()),
            Err(problem) => Err(DecodeError::Data { input: wire.name.clone(), problem }),
        },
        None => Err(DecodeError::NoData { input: wire.name.clone() }),
    }
}
