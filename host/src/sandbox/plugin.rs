//! A plugin that can be called. Every call runs in an instance that no other call has touched.

use std::pin::pin;
use std::sync::Arc;

use wasmtime::Engine;

use super::error::Bounds;
use super::host_state::{self, HostState, Shared};
use super::teardown::{Remains, TeardownSlots};
use super::{CallError, Initialisation, Parameters, ResponseSink};
use crate::config::clip;
use crate::sandbox::bindings::v0_1::{Failure, Linked};
use crate::tenant::{Budget, Clock, Exceeded, Limit};
use crate::tensor::{self, NamedTensors, Signature};

/// An activated plugin, which is a stage or a generator. Calls share it without a lock.
pub struct Plugin {
    pub(crate) engine: Engine,
    pub(crate) remains: TeardownSlots,
    pub(crate) linked: Linked,
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: String,
    pub(crate) signature: Signature,
    pub(crate) initialisation: Initialisation,
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

    /// True if the plugin is a generator, which gives any number of responses to one request and is called with `generate`.
    pub fn streams(&self) -> bool {
        matches!(self.linked, Linked::Generator(_))
    }

    /// Bytes that the plugin keeps in memory, without the bundle's files and graphs. The initial memory counts twice,
    /// because a second copy of it is mapped into instances. That copy is no larger than the code, which contains the first
    /// one.
    pub fn resident_bytes(&self) -> u64 {
        let image = self.linked.initial_memory().map_or(self.code, |memory| memory.min(self.code));
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
        let result = in_time(&clock, timeout, self.run(&mut *guard.store, inputs, parameters)).await;
        drop(guard);
        let outputs = match result {
            Ok(Ok(outputs)) => Ok(outputs),
            Ok(Err(Failure::InvalidInput(text))) => Err(CallError::InvalidInput(clip(text))),
            Ok(Err(Failure::Unavailable(text))) => Err(CallError::Unavailable(clip(text))),
            Ok(Err(Failure::Internal(text))) => Err(CallError::Internal(clip(text))),
            Err(error) => Err(CallError::from_wasmtime(error, &bounds)),
        };
        (outputs, self.remains.of(home))
    }

    async fn run(
        &self,
        store: &mut wasmtime::Store<HostState>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> wasmtime::Result<Result<NamedTensors, Failure>> {
        let started = self.linked.instantiate(store).await?;
        if self.initialisation == Initialisation::EveryCall {
            let again = started.init(store, &self.config).await?;
            if let Err(error) = again {
                return Ok(Err(Failure::Internal(format!("init refused what it accepted before: {error}"))));
            }
        }
        started.run(store, inputs, parameters).await
    }
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
