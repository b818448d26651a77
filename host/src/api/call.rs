//! An inference request of any protocol, as one recipe: find the model, wait for a place, and from there on a compute
//! thread: decode, run, encode. What a protocol looks like is the business of its `decode` and `encode`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::HeaderMap;

use super::App;
use super::refusal::{Problem, Refusal};
use super::shadow::Copied;
use super::wire::InferRequest;
use crate::catalog::Traits;
use crate::pipeline::Pipeline;
use crate::tenant::{Caller, ModelUsage};
use crate::tensor::{self, Misfit, NamedTensors};

/// Who sent a request, and what it is called in replies and in the log.
#[derive(Clone)]
pub(super) struct Client {
    pub request_id: Arc<str>,
    pub caller: Caller,
}

/// A request that found its model. It is counted once, however it ends.
pub(super) struct Call<'a> {
    app: &'a App,
    pub client: Client,
    pub pipeline: Arc<Pipeline>,
    pub usage: Arc<ModelUsage>,
    shadow: Option<Arc<Pipeline>>,
    ended: bool,
}

/// What a pipeline gave, for a protocol to encode.
pub(super) struct Answer {
    /// As the client called its request.
    pub id: Option<String>,
    /// The outputs that the client wants, in its order.
    pub outputs: NamedTensors,
}

impl App {
    /// Finds the model, and the version of it that is the caller's. A refusal is logged and counted where it is made, once.
    pub(super) fn begin(
        &self,
        client: &Client,
        headers: &HeaderMap,
        model: &str,
        version: Option<&str>,
    ) -> Result<Call<'_>, Refusal> {
        let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let traits = Traits { tenant: &client.caller.tenant.name, header: &header };
        let found = match self.catalog.find(model, version, &traits) {
            Ok(found) => found,
            Err(not_served) => return Err(self.refuse(&client.request_id, None, not_served.into())),
        };
        let usage = client.caller.tenant.usage.of(&found.pipeline.model);
        let (client, pipeline, shadow) = (client.clone(), found.pipeline, found.shadow);
        Ok(Call { app: self, client, pipeline, usage, shadow, ended: false })
    }

    /// Waits for a place, then decodes, runs and encodes on a compute thread. When the caller goes away, the work is
    /// dropped at its next yield.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        decode: impl FnOnce(&Pipeline) -> Result<InferRequest, Problem> + Send + 'static,
        encode: impl FnOnce(&Pipeline, Answer) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::new(self.compute.admit(&call.client.caller.tenant, call.usage.clone()).await?);
        let (pipeline, id, shadow) = (call.pipeline.clone(), call.client.request_id.clone(), call.shadow.clone());
        let held = permit.clone();
        let work = async move {
            let request = decode(&pipeline)?;
            let inputs = tensor::arrange(&pipeline.signature.inputs, request.inputs)?;
            check_outputs(&pipeline, request.outputs.as_deref())?;
            let copied = shadow.map(|shadow| Copied::new(shadow, &inputs, &request.parameters));
            let outputs = pipeline.run(&held, &id, inputs, &request.parameters).await?;
            drop(held);
            let copied = copied.map(|copied| copied.answered(&outputs));
            let answer = Answer { id: request.id, outputs: select(outputs, request.outputs.as_deref()) };
            Ok::<_, Problem>((encode(&pipeline, answer)?, copied))
        };
        let (answer, copied) = self.compute.run(&permit, work).await??;
        drop(permit);
        if let Some(copied) = copied {
            self.shadow.start(copied, &call.client.request_id);
        }
        Ok(answer)
    }

    /// Counts the call, and makes what went wrong tellable.
    pub(super) fn end<T>(&self, mut call: Call<'_>, answer: Result<T, Problem>) -> Result<T, Refusal> {
        call.ended = true;
        match answer {
            Ok(answer) => {
                call.usage.requests.fetch_add(1, Ordering::Relaxed);
                call.pipeline.metrics.ok.inc();
                Ok(answer)
            }
            Err(problem) => {
                call.usage.refused.fetch_add(1, Ordering::Relaxed);
                Err(self.refuse(&call.client.request_id, Some(call.pipeline.model.clone()), problem))
            }
        }
    }

    /// Logs and counts a refusal, once.
    pub(super) fn refuse(&self, request_id: &Arc<str>, model: Option<Arc<str>>, problem: Problem) -> Refusal {
        let refusal = Refusal { request: request_id.clone(), model, problem: Arc::new(problem) };
        self.metrics.refused(refusal.model.as_deref().unwrap_or_default(), refusal.problem.row().1);
        refusal.log();
        refusal
    }
}

impl Drop for Call<'_> {
    /// The client went away before it was answered.
    fn drop(&mut self) {
        if !self.ended {
            self.usage.refused.fetch_add(1, Ordering::Relaxed);
            self.app.metrics.refused(&self.pipeline.model, "abandoned");
        }
    }
}

fn check_outputs(pipeline: &Pipeline, wanted: Option<&[String]>) -> Result<(), Problem> {
    let given = &pipeline.signature.outputs;
    let twice = wanted.into_iter().flatten().take(given.len() + 1).enumerate().find_map(|(at, name)| {
        let earlier = wanted.into_iter().flatten().take(at).any(|earlier| earlier == name);
        earlier.then(|| Misfit::Twice { name: name.as_str().into() })
    });
    if let Some(twice) = twice {
        return Err(twice.into());
    }
    let unknown = wanted.into_iter().flatten().find(|name| !given.iter().any(|spec| *spec.name == ***name));
    match unknown {
        None => Ok(()),
        Some(output) => Err(Problem::UnknownOutput { output: output.clone(), known: tensor::names(given) }),
    }
}

/// The outputs that the client wants, in its order.
fn select(outputs: NamedTensors, wanted: Option<&[String]>) -> NamedTensors {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return outputs };
    let find = |name: &String| outputs.iter().find(|(given, _)| **given == **name).cloned();
    wanted.iter().filter_map(find).collect()
}
