//! The `tensors` import. It is linked by hand because generated bindings first copy every list into a vector of their own,
//! and the lists here are large.

use bytes::Bytes;
use wasmtime::component::{Linker, Resource, ResourceType, WasmList};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::sandbox::cost;
use crate::sandbox::host_state::{Building, HostState};
use crate::sandbox::wire::v0_1::interface;
use crate::sandbox::wire::v0_1::tensors::{Datatype, Description};
use crate::tensor::{Tensor, TensorBuilder, TensorError};

type Handle = Resource<Tensor>;
type BuildingHandle = Resource<Building>;
type Store<'a> = StoreContextMut<'a, HostState>;

/// Result returned to the guest; `Err` carries a message.
type Told<T> = Result<T, String>;

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(&interface("tensors"))?;
    interface.resource("tensor", ResourceType::host::<Tensor>(), |mut store, handle| {
        let state = store.data_mut();
        state.charge(cost::DROP, 0)?;
        state.handles.delete::<Tensor>(Resource::new_own(handle))?;
        Ok(())
    })?;
    interface.resource("tensor-builder", ResourceType::host::<Building>(), |mut store, handle| {
        let state = store.data_mut();
        state.charge(cost::DROP, 0)?;
        state.handles.delete::<Building>(Resource::new_own(handle))?;
        Ok(())
    })?;
    interface.func_wrap(
        "[static]tensor.create",
        |store: Store, (datatype, shape, data): (Datatype, Vec<u64>, WasmList<u8>)| {
            Ok((create(store, datatype, shape, data)?,))
        },
    )?;
    interface.func_wrap("[method]tensor.describe", |mut store: Store, (tensor,): (Handle,)| {
        let state = store.data_mut();
        state.charge(cost::TENSOR_DESCRIBE, 0)?;
        let tensor = state.handles.get(&tensor)?;
        let byte_size = tensor.data().len() as u64;
        Ok((Description { datatype: tensor.datatype().into(), shape: tensor.shape().to_vec(), byte_size },))
    })?;
    interface.func_wrap("[method]tensor.read", |mut store: Store, (tensor, offset, length): (Handle, u64, u64)| {
        let state = store.data_mut();
        let slice = state.handles.get(&tensor)?.slice(offset, length);
        let bytes = slice.as_ref().map_or(0, Bytes::len) as u64;
        state.charge(cost::TENSOR_READ, bytes)?;
        let _copy = state.budget.charge_memory(bytes)?;
        Ok((slice.map(Vec::from).map_err(|error| error.sentence()),))
    })?;
    interface.func_wrap("[method]tensor.reshape", |mut store: Store, (tensor, shape): (Handle, Vec<u64>)| {
        let state = store.data_mut();
        state.charge(cost::TENSOR_RESHAPE, 0)?;
        let reshaped = state.handles.get(&tensor)?.reshape(shape);
        Ok((keep(state, reshaped)?,))
    })?;
    interface.func_wrap(
        "[static]tensor-builder.create",
        |mut store: Store, (datatype, shape): (Datatype, Vec<u64>)| {
            Ok((start_building(store.data_mut(), datatype, shape)?,))
        },
    )?;
    interface.func_wrap(
        "[method]tensor-builder.append",
        |store: Store, (building, data): (BuildingHandle, WasmList<u8>)| Ok((append(store, &building, data)?,)),
    )?;
    interface.func_wrap("[static]tensor-builder.finish", |mut store: Store, (building,): (BuildingHandle,)| {
        Ok((finish(store.data_mut(), building)?,))
    })
}

fn create(mut store: Store, datatype: Datatype, shape: Vec<u64>, data: WasmList<u8>) -> wasmtime::Result<Told<Handle>> {
    let size = data.as_le_slice(store.as_context_mut()).len() as u64;
    store.data_mut().charge(cost::TENSOR_CREATE, size)?;
    let charge = store.data().budget.charge_memory(size)?;
    let data = data.as_le_slice(store.as_context_mut()).to_vec();
    keep(store.data_mut(), Tensor::new(datatype.into(), shape, charge.hold(data)))
}

fn start_building(
    state: &mut HostState,
    datatype: Datatype,
    shape: Vec<u64>,
) -> wasmtime::Result<Told<BuildingHandle>> {
    let builder = TensorBuilder::new(datatype.into(), shape);
    state.charge(cost::BUILDER_CREATE, builder.as_ref().map_or(0, TensorBuilder::size))?;
    match builder {
        Ok(builder) => {
            let charge = state.budget.charge_memory(builder.size())?;
            Ok(Ok(state.handles.push(Building { builder: Some(builder), charge })?))
        }
        Err(error) => Ok(Err(error.sentence())),
    }
}

fn append(mut store: Store, building: &BuildingHandle, data: WasmList<u8>) -> wasmtime::Result<Told<()>> {
    store.data_mut().charge(cost::BUILDER_APPEND, 0)?;
    let Some(mut builder) = store.data_mut().handles.get_mut(building)?.builder.take() else {
        return Ok(Err("the tensor is being written already".into()));
    };
    let appended = builder.append(data.as_le_slice(store.as_context_mut()));
    store.data_mut().handles.get_mut(building)?.builder = Some(builder);
    Ok(appended.map_err(|error| error.sentence()))
}

fn finish(state: &mut HostState, building: BuildingHandle) -> wasmtime::Result<Told<Handle>> {
    state.charge(cost::BUILDER_FINISH, 0)?;
    let Building { builder, charge } = state.handles.delete(building)?;
    let Some(builder) = builder else { return Ok(Err("the tensor is still being written".into())) };
    let (datatype, shape, data) = builder.into_parts();
    keep(state, Tensor::new(datatype, shape, charge.hold(data)))
}

fn keep(state: &mut HostState, tensor: Result<Tensor, TensorError>) -> wasmtime::Result<Told<Handle>> {
    match tensor {
        Ok(tensor) => Ok(Ok(state.handles.push(tensor)?)),
        Err(error) => Ok(Err(error.sentence())),
    }
}
