//! Execution of a pipeline: runs the stages in order, within one budget for all of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::error::{RunError, StageError};
use super::stage::{StageContext, StageRun};
use super::{ConnectedStage, Pipeline};
use crate::sandbox::Parameters;
use crate::scheduler::{CallContext, Permit};
use crate::telemetry::ModelMetrics;
use crate::tenant::Budget;
use crate::tensor::{self, NamedTensors, SpecMismatch, Tensor};

/// The tensors of a run, by slot number.
pub(super) type Slots = Vec<Option<Tensor>>;

/// The budget of a call. When it is dropped, its used part is charged to the tenant, however the call ended and even if its
/// client left.
pub(super) struct Spending<'a> {
    pub budget: Budget,
    permit: &'a Permit,
    metrics: &'a ModelMetrics,
}

impl<'a> Spending<'a> {
    pub(super) fn begin(permit: &'a Permit, metrics: &'a ModelMetrics) -> Spending<'a> {
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
    /// Runs the pipeline for one response. Inputs and outputs are in the order of the signature. The permit is the
    /// permission to compute, within the limits of its tenant. A pipeline that streams must give exactly one response.
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
        let stages = 0..self.stages.len();
        let budget = &mut spending.budget;
        self.run_stages(&permit.context, stages, request, &mut slots, parameters, budget).await?;
        Ok(self.collect(slots))
    }

    /// Puts the tensors of a request into the slots that the stages read, and charges them to the budget.
    pub(super) fn place(&self, inputs: NamedTensors, budget: &Budget) -> Result<Slots, RunError> {
        let mut slots = Vec::with_capacity(self.slots);
        for (_, tensor) in inputs {
            let held = tensor.with_data(|data| budget.hold(data));
            slots.push(Some(held.map_err(|exceeded| self.stages[0].failed(StageError::Exceeded(exceeded)))?));
        }
        slots.resize(self.slots, None);
        Ok(slots)
    }

    /// Runs some of the stages in order; none of them is a generator.
    pub(super) async fn run_stages(
        &self,
        call: &CallContext,
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
            let outputs = stage.run(StageContext { call, request, parameters, budget: &mut *budget }, inputs).await;
            self.metrics.stage_took(at, started.elapsed());
            stage.put(outputs.map_err(|error| stage.failed(error))?, slots);
            // A result that came after the deadline is not used, even if nothing could stop its computation.
            budget.check_time().map_err(|exceeded| stage.failed(StageError::Exceeded(exceeded)))?;
        }
        Ok(())
    }

    /// The outputs of the last stage, under their names in the pipeline.
    pub(super) fn collect(&self, mut slots: Slots) -> NamedTensors {
        let last = self.stages.last().map_or(&[][..], |stage| &stage.outputs);
        let named = |(spec, slot): (&tensor::TensorSpec, &usize)| Some((spec.name.clone(), slots[*slot].take()?));
        self.signature.outputs.iter().zip(last).filter_map(named).collect()
    }
}

impl ConnectedStage {
    pub(super) fn failed(&self, error: StageError) -> RunError {
        RunError { stage: self.name.clone(), error }
    }

    /// The inputs in the order of the stage's signature: moved out of their slots at the last use, shared before. Their
    /// shapes are checked here, because variable dimensions could not be compared when the pipeline was built.
    pub(super) fn gather(&self, slots: &mut [Option<Tensor>]) -> Result<NamedTensors, RunError> {
        self.find_inputs(slots).map_err(|mismatch| self.failed(StageError::Input(mismatch)))
    }

    fn find_inputs(&self, slots: &mut [Option<Tensor>]) -> Result<NamedTensors, SpecMismatch> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (spec, source) in self.stage.signature().inputs.iter().zip(&self.inputs) {
            let slot = &mut slots[source.slot];
            let tensor = if source.last_use { slot.take() } else { slot.clone() };
            let missing = || SpecMismatch::Missing { name: spec.name.clone(), wanted: spec.describe() };
            let tensor = tensor.ok_or_else(missing)?;
            spec.check(&tensor)?;
            inputs.push((spec.name.clone(), tensor));
        }
        Ok(inputs)
    }

    /// Stores the outputs, which are in the order of the stage's signature.
    pub(super) fn put(&self, outputs: NamedTensors, slots: &mut [Option<Tensor>]) {
        for (slot, (_, tensor)) in self.outputs.iter().zip(outputs) {
            slots[*slot] = Some(tensor);
        }
    }

    async fn run(&self, context: StageContext<'_>, inputs: NamedTensors) -> Result<NamedTensors, StageError> {
        if !self.stage.can_start_inline() {
            context.call.move_to_compute_thread().await;
        }
        match self.stage.run(context, inputs) {
            StageRun::Done(outputs) => outputs,
            StageRun::Waiting(run) => run.await,
        }
    }
}
