//! The `emitter` import, to which a generator gives its responses. It is linked by hand because it waits, and because the
//! work on a response burns the fuel of the call.

use async_trait::async_trait;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::sandbox::bindings::v0_1::take_tensors;
use crate::sandbox::bindings::v0_1::wire::NamedTensor;
use crate::sandbox::host_state::HostState;
use crate::tenant::Budget;
use crate::tensor::NamedTensors;

/// Takes the responses of one call of a generator, in their order.
#[async_trait]
pub trait ResponseSink: Send {
    /// Takes one response. The generator waits until this returns, and the fuel that it burns is the call's. Returns
    /// `false` once no further response will be taken; an error ends the call.
    async fn take(&mut self, outputs: NamedTensors, budget: &mut Budget) -> Result<bool, SinkError>;
}

pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// A sink's error on its way through wasmtime.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub SinkError);

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance("bulkhead:plugin/emitter@0.1.0")?;
    interface.func_wrap_async("emit", |store: StoreContextMut<HostState>, (outputs,): (Vec<NamedTensor>,)| {
        Box::new(async move { Ok((emit(store, outputs).await?,)) })
    })
}

async fn emit(mut store: StoreContextMut<'_, HostState>, outputs: Vec<NamedTensor>) -> wasmtime::Result<bool> {
    let fuel = store.get_fuel()?;
    let state = store.data_mut();
    let outputs = take_tensors(state, outputs)?;
    state.budget.set_fuel_left(fuel);
    let Some(sink) = &mut state.sink else {
        wasmtime::bail!("emit was called outside of generate; only generate can emit answers")
    };
    let more = sink.take(outputs, &mut state.budget).await.map_err(|error| wasmtime::Error::new(Refused(error)))?;
    let left = state.budget.fuel_left();
    store.set_fuel(left)?;
    Ok(more)
}
