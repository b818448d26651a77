//! An inference request of any protocol, as one recipe: find the model, wait for a place, and from there on a compute
//! thread: decode, run, encode. What a protocol looks like is the business of its `decode` and `encode`.

use std::sync::Arc;

use super::App;
use super::refusal::{Problem, Refusal};
use super::wire::{InferRequest, WantedOutput};
use crate::pipeline::Pipeline;
use crate::tensor::{self, Misfit, NamedTensors};

/// A request that found its model. It is counted once, however it ends.
pub(super) struct Call<'a> {
    app: &'a App,
    pub request_id: Arc<str>,
    pub pipeline: Arc<Pipeline>,
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
            Ok(pipeline) => Ok(Call { app: self, request_id: request_id.clone(), pipeline, ended: false }),
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
        let permit = self.compute.admit().await?;
        let (pipeline, id) = (call.pipeline.clone(), call.request_id.clone());
        let work = async move {
            let request = decode(&pipeline)?;
            let inputs = tensor::arrange(&pipeline.signature.inputs, request.inputs)?;
            check_outputs(&pipeline, request.outputs.as_deref())?;
            let outputs = pipeline.run(&permit, &id, inputs, &request.parameters).await?;
            encode(&pipeline, answer(outputs, request.id, request.outputs.as_deref(), request.binary_output))
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
            Err(problem) => Err(self.refuse(&call.request_id, Some(call.pipeline.model.clone()), problem)),
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
            self.app.metrics.refused(&self.pipeline.model, "abandoned");
        }
    }
}

fn check_outputs(pipeline: &Pipeline, wanted: Option<&[WantedOutput]>) -> Result<(), Problem> {
    let given = &pipeline.signature.outputs;
    let twice = wanted.into_iter().flatten().take(given.len() + 1).enumerate().find_map(|(at, output)| {
        let earlier = wanted.into_iter().flatten().take(at).any(|earlier| earlier.name == output.name);
        earlier.then(|| Misfit::Twice { name: output.name.as_str().into() })
    });
    if let Some(twice) = twice {
        return Err(twice.into());
    }
    let unknown = wanted.into_iter().flatten().find(|output| !given.iter().any(|spec| *spec.name == *output.name));
    match unknown {
        None => Ok(()),
        Some(output) => Err(Problem::UnknownOutput { output: output.name.clone(), known: tensor::names(given) }),
    }
}

/// The outputs that the client wants, in its order and form.
fn answer(outputs: NamedTensors, id: Option<String>, wanted: Option<&[WantedOutput]>, binary: bool) -> Answer {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Answer { id, binary: vec![binary; outputs.len()], outputs };
    };
    let find = |wanted: &WantedOutput| {
        let (name, tensor) = outputs.iter().find(|(given, _)| **given == *wanted.name)?;
        Some(((name.clone(), tensor.clone()), wanted.binary.unwrap_or(binary)))
    };
    let (outputs, binary) = wanted.iter().filter_map(find).unzip();
    Answer { id, outputs, binary }
}
