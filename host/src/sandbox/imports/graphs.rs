//! The `graphs` import. It is linked by hand because the world that the bindings are generated from does not import it. A
//! graph burns the fuel of the call that runs it.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};

use crate::runtime::{GraphError, Model};
use crate::sandbox::cost;
use crate::sandbox::host_state::HostState;
use crate::sandbox::wire::v0_1::tensors::{NamedTensor, TensorSpec};
use crate::sandbox::wire::v0_1::{interface, lend_tensors, take_tensors};
use crate::tensor::{Signature, TensorSpec as Spec};

type Handle = Resource<Arc<dyn Model>>;
type Store<'a> = StoreContextMut<'a, HostState>;

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(&interface("graphs"))?;
    interface.resource("graph", ResourceType::host::<Arc<dyn Model>>(), |mut store, handle| {
        let state = store.data_mut();
        state.charge(cost::DROP, 0)?;
        state.handles.delete::<Arc<dyn Model>>(Resource::new_own(handle))?;
        Ok(())
    })?;
    interface.func_wrap("[static]graph.open", |mut store: Store, (name,): (String,)| {
        Ok((open(store.data_mut(), &name)?,))
    })?;
    interface.func_wrap("[method]graph.inputs", |mut store: Store, (graph,): (Handle,)| {
        Ok((specs(store.data_mut(), &graph, |signature| &signature.inputs)?,))
    })?;
    interface.func_wrap("[method]graph.outputs", |mut store: Store, (graph,): (Handle,)| {
        Ok((specs(store.data_mut(), &graph, |signature| &signature.outputs)?,))
    })?;
    interface.func_wrap("[method]graph.run", |store: Store, (graph, inputs): (Handle, Vec<NamedTensor>)| {
        Ok((run(store, &graph, inputs)?,))
    })
}

fn open(state: &mut HostState, name: &str) -> wasmtime::Result<Result<Handle, String>> {
    let known = state.shared.graphs.keys().map(|graph| graph.len() as u64 + 2).sum::<u64>();
    state.charge(cost::GRAPH_OPEN, name.len() as u64 + known)?;
    match state.shared.graphs.get(name).cloned() {
        Some(graph) => Ok(Ok(state.handles.push(graph)?)),
        None => {
            let known = state.shared.graphs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Ok(Err(format!("no graph \"{name}\"; the bundle has: {known}")))
        }
    }
}

fn specs(
    state: &mut HostState,
    graph: &Handle,
    side: fn(&Signature) -> &Vec<Spec>,
) -> wasmtime::Result<Vec<TensorSpec>> {
    let graph = state.handles.get(graph)?.clone();
    let specs = side(graph.signature());
    state.charge(cost::GRAPH_SIGNATURE, specs.len() as u64)?;
    Ok(specs.iter().map(TensorSpec::from).collect())
}

fn run(
    mut store: Store,
    graph: &Handle,
    inputs: Vec<NamedTensor>,
) -> wasmtime::Result<Result<Vec<NamedTensor>, String>> {
    let state = store.data_mut();
    let graph = state.handles.get(graph)?.clone();
    let inputs = take_tensors(state, inputs)?;
    match graph.run(inputs, &mut state.budget) {
        Ok(outputs) => {
            state.charge(cost::LEND_TENSORS, outputs.len() as u64)?;
            Ok(Ok(lend_tensors(state, outputs)?))
        }
        Err(GraphError::Exceeded(exceeded)) => Err(exceeded.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}
