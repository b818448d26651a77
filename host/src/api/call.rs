//! An inference request of any protocol, as one recipe: find the model, wait for a place, and from there on a compute
//! thread: decode, run, encode. What a protocol looks like is the business of its `decode` and `encode`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::refusal::{Problem, Refusal};
use super::wire::{InferRequest, WantedOutput};
use super::{App, classification};
use crate::pipeline::Pipeline;
use crate::telemetry::Timings;
use crate::tensor::{self, Misfit, NamedTensors};

/// A request that found its model. It is counted once, however it ends.
pub(super) struct Call<'a> {
    app: &'a App,
    pub request_id: Arc<str>,
    pub pipeline: Arc<Pipeline>,
    begun: Instant,
    ended: bool,
}

/// What a pipeline gave, for a protocol to encode.
pub(super) struct Answer {
    /// As the client called its request.
    pub id: Option<String>,
    /// The outputs that the client wants, in its order.
    pub outputs: NamedTensors,
    /// For each of them, whether it is wanted as bytes.
    pub binary: Vec<bool>,
}

impl App {
    /// Finds the model. A refusal is logged and counted where it is made, once.
    pub(super) fn begin(&self, request_id: &Arc<str>, model: &str, version: Option<&str>) -> Result<Call<'_>, Refusal> {
        match self.catalog.find(model, version) {
            Ok(pipeline) => {
                Ok(Call { app: self, request_id: request_id.clone(), pipeline, begun: Instant::now(), ended: false })
            }
            Err(not_served) => Err(self.refuse(request_id, None, not_served.into())),
        }
    }

    /// Waits for a place, then decodes, runs and encodes on a compute thread. When the caller goes away, the work is
    /// dropped at its next yield.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        decode: impl FnOnce(&Pipeline) -> Result<InferRequest, Problem> + Send + 'static,
        encode: impl FnOnce(&Pipeline, Answer) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let mut clock = Clock::start();
        let permit = self.compute.admit().await?;
        let (pipeline, id) = (call.pipeline.clone(), call.request_id.clone());
        let work = async move {
            let queue = clock.lap();
            let request = decode(&pipeline)?;
            let inputs = tensor::arrange(&pipeline.signature.inputs, request.inputs)?;
            check_outputs(&pipeline, request.outputs.as_deref())?;
            let input = clock.lap();
            let outputs = pipeline.run(&permit, &id, inputs, &request.parameters).await?;
            let infer = clock.lap();
            let answer = answer(&pipeline, outputs, request.outputs.as_deref(), request.binary_output)?;
            let encoded = encode(&pipeline, Answer { id: request.id, ..answer })?;
            pipeline.metrics.statistics.succeeded(&Timings { queue, input, infer, output: clock.lap() });
            Ok(encoded)
        };
        self.compute.run(work).await?
    }

    /// Counts the call, and makes what went wrong tellable.
    pub(super) fn end<T>(&self, mut call: Call<'_>, answer: Result<T, Problem>) -> Result<T, Refusal> {
        call.ended = true;
        match answer {
            Ok(answer) => {
                call.pipeline.metrics.ok.inc();
                Ok(answer)
            }
            Err(problem) => {
                call.pipeline.metrics.statistics.failed(call.begun.elapsed());
                Err(self.refuse(&call.request_id, Some(call.pipeline.model.clone()), problem))
            }
        }
    }

    /// Counts and logs a refusal.
    pub(super) fn refuse(&self, request_id: &Arc<str>, model: Option<Arc<str>>, problem: Problem) -> Refusal {
        let refusal = Refusal { request: request_id.clone(), model, problem };
        self.metrics.refused(refusal.model.as_deref().unwrap_or_default(), refusal.problem.row().1);
        refusal.log();
        refusal
    }
}

impl Drop for Call<'_> {
    /// The client went away before it was answered.
    fn drop(&mut self) {
        if !self.ended {
            self.pipeline.metrics.statistics.failed(self.begun.elapsed());
            self.app.metrics.refused(&self.pipeline.model, "abandoned");
        }
    }
}

/// Tells the time between one look and the next.
struct Clock(Instant);

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now())
    }

    fn lap(&mut self) -> Duration {
        let begun = std::mem::replace(&mut self.0, Instant::now());
        self.0 - begun
    }
}

/// Each output that is wanted is there, is asked for once, and can be had as it is asked for.
fn check_outputs(pipeline: &Pipeline, wanted: Option<&[WantedOutput]>) -> Result<(), Problem> {
    let given = &pipeline.signature.outputs;
    let wanted = wanted.unwrap_or_default();
    // One more than there are contains one twice, or one that there is not.
    for (at, output) in wanted.iter().enumerate().take(given.len() + 1) {
        let Some(spec) = given.iter().find(|spec| *spec.name == *output.name) else {
            return Err(Problem::UnknownOutput { output: output.name.clone(), known: tensor::names(given) });
        };
        if wanted[..at].iter().any(|earlier| earlier.name == output.name) {
            return Err(Misfit::Twice { name: spec.name.clone() }.into());
        }
        if output.classification.is_some() {
            classification::check(spec)?;
        }
    }
    Ok(())
}

/// The outputs that the client wants, in its order and form.
fn answer(
    pipeline: &Pipeline,
    outputs: NamedTensors,
    wanted: Option<&[WantedOutput]>,
    binary: bool,
) -> Result<Answer, Problem> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(Answer { id: None, binary: vec![binary; outputs.len()], outputs });
    };
    let mut answer = Answer { id: None, outputs: Vec::with_capacity(wanted.len()), binary: Vec::new() };
    for wanted in wanted {
        // Each is there: that was checked before anything was computed.
        let found = outputs.iter().zip(&pipeline.signature.outputs).find(|((name, _), _)| **name == *wanted.name);
        let Some(((name, tensor), spec)) = found else { continue };
        let tensor = match wanted.classification {
            Some(count) => classification::classify(spec, tensor, count)?,
            None => tensor.clone(),
        };
        answer.outputs.push((name.clone(), tensor));
        answer.binary.push(wanted.binary.unwrap_or(binary));
    }
    Ok(answer)
}
