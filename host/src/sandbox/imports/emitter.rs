//! The `emitter` import, to which a generator gives its responses. It is linked by hand because it waits. The work on a
//! response burns the fuel of the call.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::sandbox::host_state::HostState;
use crate::sandbox::sink::Refused;
use crate::sandbox::wire::v0_1::tensors::NamedTensor;
use crate::sandbox::wire::v0_1::{interface, take_tensors};

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(&interface("emitter"))?;
    interface.func_wrap_async("emit", |store: StoreContextMut<HostState>, (outputs,): (Vec<NamedTensor>,)| {
        Box::new(async move { Ok((emit(store, outputs).await?,)) })
    })
}

async fn emit(mut store: StoreContextMut<'_, HostState>, outputs: Vec<NamedTensor>) -> wasmtime::Result<bool> {
    let state = store.data_mut();
    let outputs = take_tensors(state, outputs)?;
    let Some(sink) = &mut state.sink else {
        wasmtime::bail!("emit was called outside of generate; only generate can emit answers")
    };
    sink.take(outputs, &mut state.budget).await.map_err(|error| wasmtime::Error::new(Refused(error)))
}
