//! The `graphs` import. It is linked by hand because a graph burns the fuel of the instance that runs it, and generated
//! bindings do not let an import reach that fuel.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};

use crate::runtime::{GraphError, Model};
use crate::sandbox::host_state::HostState;
use crate::sandbox::wire::v0_1::tensors::{NamedTensor, TensorSpec};
use crate::sandbox::wire::v0_1::{interface, lend_tensors, take_tensors};

type Handle = Resource<Arc<dyn Model>>;
type Store<'a> = StoreContextMut<'a, HostState>;

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(&interface("graphs"))?;
    interface.resource("graph", ResourceType::host::<Arc<dyn Model>>(), |mut store, handle| {
        store.data_mut().handles.delete::<Arc<dyn Model>>(Resource::new_own(handle))?;
        Ok(())
    })?;
    interface.func_wrap("[static]graph.open", |mut store: Store, (name,): (String,)| {
        Ok((open(store.data_mut(), &name)?,))
    })?;
    interface.func_wrap("[method]graph.inputs", |mut store: Store, (graph,): (Handle,)| {
        let graph = store.data_mut().handles.get(&graph)?;
        Ok((graph.signature().inputs.iter().map(TensorSpec::from).collect::<Vec<_>>(),))
    })?;
    interface.func_wrap("[method]graph.outputs", |mut store: Store, (graph,): (Handle,)| {
        let graph = store.data_mut().handles.get(&graph)?;
        Ok((graph.signature().outputs.iter().map(TensorSpec::from).collect::<Vec<_>>(),))
    })?;
    interface.func_wrap("[method]graph.run", |store: Store, (graph, inputs): (Handle, Vec<NamedTensor>)| {
        Ok((run(store, &graph, inputs)?,))
    })
}

fn open(state: &mut HostState, name: &str) -> wasmtime::Result<Result<Handle, String>> {
    match state.shared.graphs.get(name).cloned() {
        Some(graph) => Ok(Ok(state.handles.push(graph)?)),
        None => {
            let known = state.shared.graphs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Ok(Err(format!("no graph \"{name}\"; the bundle has: {known}")))
        }
    }
}

fn run(
    mut store: Store,
    graph: &Handle,
    inputs: Vec<NamedTensor>,
) -> wasmtime::Result<Result<Vec<NamedTensor>, String>> {
    let fuel = store.get_fuel()?;
    let state = store.data_mut();
    let graph = state.handles.get(graph)?.clone();
    let inputs = take_tensors(state, inputs)?;
    state.budget.set_fuel_left(fuel);
    let result = graph.run(inputs, &mut state.budget);
    let left = state.budget.fuel_left();
    let outputs = match result {
        Ok(outputs) => Ok(lend_tensors(state, outputs)?),
        Err(GraphError::Exceeded(exceeded)) => return Err(exceeded.into()),
        Err(error) => Err(error.to_string()),
    };
    store.set_fuel(left)?;
    Ok(outputs)
}
