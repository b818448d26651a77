//! A plugin that can be called. Every call runs in an instance that no other call has touched.

use std::pin::pin;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::bindings::Linked;
use super::error::Bounds;
use super::host_state;
use super::shared::Shared;
use super::teardown::{Remains, TeardownSlots};
use super::{CallError, Initialisation, NoSnapshot, Parameters, ResponseSink};
use crate::tenant::{Budget, Clock, Exceeded, Limit};
use crate::tensor::{self, NamedTensors, Signature};

/// An activated plugin, which is a stage or a generator. Calls share it without a lock.
pub struct Plugin {
    pub(crate) engine: Engine,
    pub(crate) remains: TeardownSlots,
    pub(crate) linked: Box<dyn Linked>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: String,
    pub(crate) signature: Signature,
    pub(crate) initialisation: Initialisation,
    pub(crate) no_snapshot: Option<NoSnapshot>,
    pub(crate) stack: u64,
    /// Bytes of the compiled code, including the memory that instances of a snapshot begin with.
    pub(crate) code: u64,
}

impl Plugin {
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub fn initialisation(&self) -> Initialisation {
        self.initialisation
    }

    /// The reason why there is no snapshot, though one was wanted.
    pub fn no_snapshot(&self) -> Option<NoSnapshot> {
        self.no_snapshot
    }

    /// True if the plugin is a generator, which gives any number of responses to one request and is called with `generate`.
    pub fn streams(&self) -> bool {
        self.linked.is_generator()
    }

    /// Bytes that the plugin keeps in memory, without the bundle's files and graphs. The initial memory counts twice,
    /// because a second copy of it is mapped into instances. That copy is no larger than the code, which contains the first
    /// one.
    pub fn resident_bytes(&self) -> u64 {
        let image = initial_memory(self.linked.component()).map_or(self.code, |memory| memory.min(self.code));
        self.code + image + self.config.len() as u64
    }

    /// True if graphs may run inside the plugin's calls.
    pub fn runs_graphs(&self) -> bool {
        !self.shared.graphs.is_empty()
    }

    /// Runs a stage in a fresh instance. Inputs and outputs are in the order of the signature. The caller must drop the
    /// returned [`Remains`], which tears the instance down.
    pub async fn call(
        &self,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
        budget: &mut Budget,
    ) -> (Result<NamedTensors, CallError>, Remains) {
        let (outputs, remains) = self.enter(request, inputs, parameters, budget, None).await;
        (outputs.and_then(|outputs| Ok(tensor::bind_tensors(&self.signature.outputs, outputs)?)), remains)
    }

    /// Runs a generator in a fresh instance. The sink gets the responses as they are emitted, before they are checked
    /// against the signature.
    pub async fn generate(
        &self,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
        budget: &mut Budget,
        sink: Box<dyn ResponseSink>,
    ) -> Result<(), CallError> {
        self.enter(request, inputs, parameters, budget, Some(sink)).await.0.map(drop)
    }

    async fn enter(
        &self,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
        budget: &mut Budget,
        sink: Option<Box<dyn ResponseSink>>,
    ) -> (Result<NamedTensors, CallError>, Remains) {
        let bounds = Bounds { fuel: budget.fuel_limit(), stack: self.stack };
        let timeout = Exceeded::whole(Limit::Time, budget.exceeded(Limit::Time).bound);
        let clock = budget.clock().clone();
        let mut home = None;
        let guard = host_state::enter(&mut home, &self.engine, &self.shared, request, budget);
        guard.store.data_mut().sink = sink;
        let config = (self.initialisation == Initialisation::EveryCall).then_some(self.config.as_str());
        let call = self.linked.call(&mut *guard.store, config, inputs, parameters);
        let result = in_time(&clock, timeout, call).await;
        let outputs = result.unwrap_or_else(|error| Err(CallError::from_wasmtime(error, &bounds, guard.store.data())));
        drop(guard);
        (outputs, self.remains.of(home))
    }
}

/// Bytes of a page, the unit in which WebAssembly counts memory.
const WASM_PAGE: u64 = 64 << 10;

/// Upper bound on the bytes of memory that an instance begins with; `None` if only an instance can report it.
fn initial_memory(component: &Component) -> Option<u64> {
    let required = component.resources_required()?;
    let largest = required.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE);
    Some(largest.saturating_mul(required.num_memories.into()))
}

/// The time limit of a call. Epochs stop guest code; this timeout stops a call that waits in the host. The deadline may
/// move during the wait.
async fn in_time<T>(
    clock: &Clock,
    timeout: Exceeded,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let mut work = pin!(work);
    loop {
        let deadline = clock.deadline();
        match tokio::time::timeout_at(deadline.into(), &mut work).await {
            Ok(result) => return result,
            Err(_) if clock.deadline() > deadline => {}
            Err(_) => return Err(timeout.into()),
        }
    }
}
