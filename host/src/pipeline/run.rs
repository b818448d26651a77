//! Runs a pipeline: stages in order, one budget for all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Pipeline, Runner, Stage};
use crate::graph::GraphError;
use crate::sandbox::{CallError, Parameters};
use crate::schedule::{self, Permit};
use crate::telemetry::ModelMetrics;
use crate::tenant::{Budget, Exceeded, LIGHT_FUEL};
use crate::tensor::{self, Misfit, NamedTensors, Tensor};

/// A stage gave no result, and the call is over.
#[derive(Debug, thiserror::Error)]
#[error("stage \"{stage}\" {error}")]
pub struct RunError {
    pub stage: Arc<str>,
    pub error: StageError,
}

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Plugin(CallError),
    #[error(transparent)]
    Graph(GraphError),
    #[error(transparent)]
    Exceeded(Exceeded),
    #[error("cannot take what came before it: {0}")]
    Input(Misfit),
}

impl StageError {
    /// The limit that was reached, wherever in the stage it was.
    pub fn exceeded(&self) -> Option<&Exceeded> {
        match self {
            StageError::Plugin(CallError::Exceeded(exceeded))
            | StageError::Graph(GraphError::Exceeded(exceeded))
            | StageError::Exceeded(exceeded) => Some(exceeded),
            _ => None,
        }
    }
}

/// A call's budget. What was used of it is charged to the tenant however the call ends, also when its client went away.
struct Spending<'a> {
    budget: Budget,
    permit: &'a Permit,
    metrics: &'a ModelMetrics,
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        let used = self.budget.usage();
        self.permit.tenant.burn(used.fuel);
        self.permit.usage.fuel.fetch_add(used.fuel, Ordering::Relaxed);
        self.permit.usage.pace.note(used);
        self.metrics.call_used(used);
    }
}

impl Pipeline {
    /// `inputs` are in the order of the signature, and so are the outputs. Holding a permit is the permission to compute,
    /// within the limits of its tenant.
    pub async fn run(
        &self,
        permit: &Permit,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> Result<NamedTensors, RunError> {
        let budget = Budget::of(&permit.tenant, &permit.tenant.limits());
        let mut spending = Spending { budget, permit, metrics: &self.metrics };
        let mut current = self.stages[0].name.clone();
        let result = self.run_stages(request, inputs, parameters, &mut spending.budget, &mut current).await;
        result.map_err(|error| RunError { stage: current, error })
    }

    async fn run_stages(
        &self,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
        budget: &mut Budget,
        current: &mut Arc<str>,
    ) -> Result<NamedTensors, StageError> {
        let mut slots: Vec<Option<Tensor>> = Vec::with_capacity(self.slots);
        for (_, tensor) in inputs {
            slots.push(Some(tensor.with_data(|data| budget.hold(data)).map_err(StageError::Exceeded)?));
        }
        slots.resize(self.slots, None);
        for (at, stage) in self.stages.iter().enumerate() {
            current.clone_from(&stage.name);
            let started = Instant::now();
            let inputs = stage.gather(&mut slots).map_err(StageError::Input)?;
            let outputs = stage.run(request, inputs, parameters, budget).await;
            self.metrics.stage_took(at, started.elapsed());
            for (slot, (_, tensor)) in stage.outputs.iter().zip(outputs?) {
                slots[*slot] = Some(tensor);
            }
        }
        Ok(self.collect(slots))
    }

    /// The last stage's outputs, under their names in the pipeline.
    fn collect(&self, mut slots: Vec<Option<Tensor>>) -> NamedTensors {
        let last = self.stages.last().map_or(&[][..], |stage| &stage.outputs);
        let named = |(spec, slot): (&tensor::TensorSpec, &usize)| Some((spec.name.clone(), slots[*slot].take()?));
        self.signature.outputs.iter().zip(last).filter_map(named).collect()
    }
}

impl Stage {
    /// The stage's inputs in the order of its signature: moved at their last use, shared before. Dimensions that vary
    /// could not be compared when the pipeline was built.
    fn gather(&self, slots: &mut [Option<Tensor>]) -> Result<NamedTensors, Misfit> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (spec, source) in self.runner.signature().inputs.iter().zip(&self.inputs) {
            let place = &mut slots[source.slot];
            let tensor = if source.last_use { place.take() } else { place.clone() };
            let missing = || Misfit::Missing { name: spec.name.clone(), wanted: spec.describe() };
            let tensor = tensor.ok_or_else(missing)?;
            spec.check(&tensor)?;
            inputs.push((spec.name.clone(), tensor));
        }
        Ok(inputs)
    }

    async fn run(
        &self,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
        budget: &mut Budget,
    ) -> Result<NamedTensors, StageError> {
        match &self.runner {
            Runner::Plugin(plugin) => {
                plugin.call(request, inputs, parameters, budget).await.map_err(StageError::Plugin)
            }
            Runner::Graph(graph) => {
                let priced = graph.price(inputs, budget).map_err(StageError::Graph)?;
                if priced.fuel() > LIGHT_FUEL {
                    schedule::aside().await;
                }
                priced.run(budget).map_err(StageError::Graph)
            }
        }
    }
}
