//! A plugin that can be called: every call in an instance that no other has touched.

use std::sync::Arc;

use wasmtime::Engine;

use super::contract::{self, Failure, StagePre};
use super::error::Bounds;
use super::instance::{self, Shared, State};
use super::{CallError, Initialisation, Parameters};
use crate::config::clip;
use crate::tenant::{Budget, Limit};
use crate::tensor::{self, NamedTensors, Signature};

/// An activated plugin. Calls share it without a lock.
pub struct Plugin {
    pub(super) engine: Engine,
    pub(super) pre: StagePre,
    pub(super) shared: Arc<Shared>,
    pub(super) config: String,
    pub(super) signature: Signature,
    pub(super) initialisation: Initialisation,
    pub(super) stack: u64,
}

impl Plugin {
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub fn initialisation(&self) -> Initialisation {
        self.initialisation
    }

    /// Whether graphs may run inside of its calls.
    pub fn runs_graphs(&self) -> bool {
        !self.shared.graphs.is_empty()
    }

    /// Runs the stage in a fresh instance. `inputs` are in the order of the signature, and so are the outputs.
    pub async fn call(
        &self,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
        budget: &mut Budget,
    ) -> Result<NamedTensors, CallError> {
        let bounds = Bounds { fuel: budget.fuel_limit(), stack: self.stack };
        let deadline = budget.deadline().into();
        let timeout = budget.exceeded(Limit::Time);
        let mut lent = instance::lend(&self.engine, &self.shared, request, budget);
        // Guests are stopped at epochs; the timeout stops what waits in the host.
        let result = tokio::time::timeout_at(deadline, self.run(&mut lent.store, inputs, parameters)).await;
        let result = result.unwrap_or_else(|_| Err(timeout.into()));
        drop(lent);
        let outputs = match result.map_err(|error| CallError::from_wasmtime(error, &bounds))? {
            Ok(outputs) => outputs,
            Err(Failure::InvalidInput(text)) => return Err(CallError::InvalidInput(clip(text))),
            Err(Failure::Unavailable(text)) => return Err(CallError::Unavailable(clip(text))),
            Err(Failure::Internal(text)) => return Err(CallError::Internal(clip(text))),
        };
        Ok(tensor::arrange(&self.signature.outputs, outputs)?)
    }

    async fn run(
        &self,
        store: &mut wasmtime::Store<State>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> wasmtime::Result<Result<NamedTensors, Failure>> {
        let stage = self.pre.instantiate_async(&mut *store).await?;
        if self.initialisation == Initialisation::EveryCall {
            let again = contract::init(&stage, store, &self.config).await?;
            if let Err(error) = again {
                return Ok(Err(Failure::Internal(format!("init refused what it accepted before: {error}"))));
            }
        }
        contract::process(&stage, store, inputs, parameters).await
    }
}
