//! Execution of a pipeline that streams: the stages before its generator run once, and the stages after it run once for
//! each of its responses, while the generator waits. One budget covers all of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use super::run::{Slots, Spending};
use super::{Generator, Pipeline, RunError, StageContext, StageError};
use crate::sandbox::{CallError, Parameters, ResponseSink, SinkError};
use crate::scheduler::{CallContext, Permit};
use crate::tenant::Budget;
use crate::tensor::{self, NamedTensors};

impl Pipeline {
    /// Passes each response to the sink, its tensors in the order of the signature. A pipeline that does not stream gives
    /// one response. The permit is the permission to compute.
    pub async fn stream(
        self: &Arc<Self>,
        permit: &Permit,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: Parameters,
        mut answers: Box<dyn ResponseSink>,
    ) -> Result<(), RunError> {
        let mut spending = Spending::begin(permit, &self.metrics);
        let budget = &mut spending.budget;
        let mut slots = self.place(inputs, budget)?;
        let before = self.generator.unwrap_or(self.stages.len());
        self.run_stages(&permit.context, 0..before, request, &mut slots, &parameters, budget).await?;
        match self.generator() {
            Some((at, generator)) => {
                let call = &permit.context;
                self.generate(call, at, generator, request, slots, parameters, answers, budget).await
            }
            None => {
                let taken = answers.take(self.collect(slots), budget).await;
                taken.map(drop).map_err(|error| self.refused(before.saturating_sub(1), error))
            }
        }
    }

    fn generator(&self) -> Option<(usize, &dyn Generator)> {
        let at = self.generator?;
        Some((at, self.stages[at].stage.generator()?))
    }

    async fn generate(
        self: &Arc<Self>,
        call: &CallContext,
        at: usize,
        generator: &dyn Generator,
        request: &Arc<str>,
        mut slots: Slots,
        parameters: Parameters,
        answers: Box<dyn ResponseSink>,
        budget: &mut Budget,
    ) -> Result<(), RunError> {
        let started = Instant::now();
        let inputs = self.stages[at].gather(&mut slots)?;
        let parameters = Arc::new(parameters);
        let behind = Behind {
            call: call.clone(),
            pipeline: self.clone(),
            at,
            slots,
            request: request.clone(),
            parameters: parameters.clone(),
            answers,
        };
        let context = StageContext { call, request, parameters: &parameters, budget };
        let ended = generator.generate(context, inputs, Box::new(behind)).await;
        self.metrics.stage_took(at, started.elapsed());
        ended.map_err(|error| match error {
            StageError::Plugin(CallError::Sink(error)) => self.refused(at, error),
            error => self.stages[at].failed(error),
        })
    }

    /// The error of a sink, which may be the failure of a later stage; that one is returned unchanged.
    fn refused(&self, at: usize, error: SinkError) -> RunError {
        match error.downcast::<RunError>() {
            Ok(error) => *error,
            Err(error) => self.stages[at].failed(StageError::Plugin(CallError::Sink(error))),
        }
    }

    pub(super) async fn run_for_one(
        self: &Arc<Self>,
        permit: &Permit,
        request: &Arc<str>,
        inputs: NamedTensors,
        parameters: &Parameters,
    ) -> Result<NamedTensors, RunError> {
        let generator = self.stages[self.generator.unwrap_or_default()].name.clone();
        let only = Arc::new(Mutex::new(None));
        let sink = OnlyOne { generator: generator.clone(), answer: only.clone() };
        self.stream(permit, request, inputs, parameters.clone(), Box::new(sink)).await?;
        let answer = only.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.ok_or(RunError { stage: generator, error: StageError::NotOne { given: "no answer" } })
    }
}

/// The sink of a generator: runs the later stages for each response, and passes the result to the next sink.
struct Behind {
    call: CallContext,
    pipeline: Arc<Pipeline>,
    /// Index of the generator.
    at: usize,
    /// Tensors of the stages before the generator.
    slots: Slots,
    request: Arc<str>,
    parameters: Arc<Parameters>,
    answers: Box<dyn ResponseSink>,
}

#[async_trait]
impl ResponseSink for Behind {
    async fn take(&mut self, outputs: NamedTensors, budget: &mut Budget) -> Result<bool, SinkError> {
        let Behind { call, pipeline, at, slots, request, parameters, answers } = self;
        let generator = &pipeline.stages[*at];
        let outputs = tensor::bind_tensors(&generator.stage.signature().outputs, outputs)
            .map_err(|mismatch| generator.failed(StageError::Plugin(CallError::Output(mismatch))))?;
        let mut slots = slots.clone();
        generator.put(outputs, &mut slots);
        let stages = *at + 1..pipeline.stages.len();
        pipeline.run_stages(call, stages, request, &mut slots, parameters, budget).await?;
        answers.take(pipeline.collect(slots), budget).await
    }
}

/// The sink for requests that have one response: a second one ends the call.
struct OnlyOne {
    generator: Arc<str>,
    answer: Arc<Mutex<Option<NamedTensors>>>,
}

#[async_trait]
impl ResponseSink for OnlyOne {
    async fn take(&mut self, answer: NamedTensors, _: &mut Budget) -> Result<bool, SinkError> {
        let before = self.answer.lock().unwrap_or_else(PoisonError::into_inner).replace(answer);
        match before {
            None => Ok(true),
            Some(_) => {
                let error = StageError::NotOne { given: "more than one answer" };
                Err(RunError { stage: self.generator.clone(), error }.into())
            }
        }
    }
}
