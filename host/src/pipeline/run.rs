//! Runs a pipeline: stages in order, one budget for all of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Pipeline, Runner, Stage};
use crate::runtime::GraphError;
use crate::sandbox::{CallError, Parameters};
use crate::scheduler::{self, Permit};
use crate::telemetry::ModelMetrics;
use crate::tenant::{Budget, Exceeded};
use crate::tensor::{self, NamedTensors, SpecMismatch, Tensor};

/// Where the tensors of a run are, by number.
pub(super) type Slots = Vec<Option<Tensor>>;

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
    Input(SpecMismatch),
    /// A generator, where one answer was wanted.
    #[error(
        "gave {given}, and this kind of request has exactly one; ask for the answers as they come, by generate_stream or ModelStreamInfer"
    )]
    NotOne { given: &'static str },
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
pub(super) struct Spending<'a> {
    pub budget: Budget,
    permit: &'a Permit,
    metrics: &'a ModelMetrics,
}

impl<'a> Spending<'a> {
    pub fn begin(permit: &'a Permit, metrics: &'a ModelMetrics) -> Spending<'a> {
        Spending { budget: Budget::of(&permit.tenant, &permit.tenant.limits()), permit, metrics }
    }
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        let used = self.budget.usage();
        self.permit.tenant.burn(used.fuel);
        self.permit.usage.fuel.fetch_add(used.fuel, Ordering::Relaxed);
        self.permit.usage.recent_cost.note(used);
        self.metrics.call_used(used);
    }
}

impl Pipeline {
    /// `inputs` are in the order of the signature, and so are the outputs. Holding a permit is the permission to compute,
    /// within the limits of its tenant. A pipeline that streams must have exactly one answer.
    pub async fn run(
        self: &Arc<Self>,
        permit: &Permit,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> Result<NamedTensors, RunError> {
        if self.streams() {
            return self.run_for_one(permit, request, inputs, parameters).await;
        }
        let mut spending = Spending::begin(permit, &self.metrics);
        let mut slots = self.place(inputs, &spending.budget)?;
        self.run_stages(0..self.stages.len(), request, &mut slots, parameters, &mut spending.budget).await?;
        Ok(self.collect(slots))
    }

    /// The tensors of a request, in the slots where the stages find them, and counted against the budget.
    pub(super) fn place(&self, inputs: NamedTensors, budget: &Budget) -> Result<Slots, RunError> {
        let mut slots = Vec::with_capacity(self.slots);
        for (_, tensor) in inputs {
            let held = tensor.with_data(|data| budget.hold(data));
            slots.push(Some(held.map_err(|exceeded| self.stages[0].failed(StageError::Exceeded(exceeded)))?));
        }
        slots.resize(self.slots, None);
        Ok(slots)
    }

    /// Some of the stages, one after the other; none of them a generator.
    pub(super) async fn run_stages(
        &self,
        stages: Range<usize>,
        request: &Arc<str>,
        slots: &mut Slots,
        parameters: &Parameters,
        budget: &mut Budget,
    ) -> Result<(), RunError> {
        for at in stages {
            let stage = &self.stages[at];
            let started = Instant::now();
            let inputs = stage.gather(slots)?;
            let outputs = stage.run(request, inputs, parameters, budget).await;
            self.metrics.stage_took(at, started.elapsed());
            stage.put(outputs.map_err(|error| stage.failed(error))?, slots);
            // What was computed past the deadline is no answer, also where nothing could stop it.
            budget.check_time().map_err(|exceeded| stage.failed(StageError::Exceeded(exceeded)))?;
        }
        Ok(())
    }

    /// The last stage's outputs, under their names in the pipeline.
    pub(super) fn collect(&self, mut slots: Slots) -> NamedTensors {
        let last = self.stages.last().map_or(&[][..], |stage| &stage.outputs);
        let named = |(spec, slot): (&tensor::TensorSpec, &usize)| Some((spec.name.clone(), slots[*slot].take()?));
        self.signature.outputs.iter().zip(last).filter_map(named).collect()
    }
}

impl Stage {
    pub(super) fn failed(&self, error: StageError) -> RunError {
        RunError { stage: self.name.clone(), error }
    }

    /// The stage's inputs in the order of its signature: moved at their last use, shared before. Dimensions that vary
    /// could not be compared when the pipeline was built.
    pub(super) fn gather(&self, slots: &mut [Option<Tensor>]) -> Result<NamedTensors, RunError> {
        self.find_inputs(slots).map_err(|misfit| self.failed(StageError::Input(misfit)))
    }

    fn find_inputs(&self, slots: &mut [Option<Tensor>]) -> Result<NamedTensors, SpecMismatch> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (spec, source) in self.runner.signature().inputs.iter().zip(&self.inputs) {
            let place = &mut slots[source.slot];
            let tensor = if source.last_use { place.take() } else { place.clone() };
            let missing = || SpecMismatch::Missing { name: spec.name.clone(), wanted: spec.describe() };
            let tensor = tensor.ok_or_else(missing)?;
            spec.check(&tensor)?;
            inputs.push((spec.name.clone(), tensor));
        }
        Ok(inputs)
    }

    /// The outputs are in the order of the signature.
    pub(super) fn put(&self, outputs: NamedTensors, slots: &mut [Option<Tensor>]) {
        for (slot, (_, tensor)) in self.outputs.iter().zip(outputs) {
            slots[*slot] = Some(tensor);
        }
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
                let (outputs, remains) = plugin.call(request, inputs, parameters, budget).await;
                scheduler::defer_drop(remains);
                outputs.map_err(StageError::Plugin)
            }
            Runner::Graph(graph) => {
                // A graph cannot be stopped inside of an operator, so it never holds a thread that serves connections.
                scheduler::move_to_compute_thread().await;
                graph.run(inputs, budget).map_err(StageError::Graph)
            }
        }
    }
}
