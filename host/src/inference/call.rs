//! The steps of an inference request, the same for every protocol: find the model, wait for a slot, then decode, run and
//! encode on a compute thread. The `Exchange` of a protocol knows its wire format.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;

use super::classification::{self, TextRoom};
use super::data_plane::DataPlane;
use super::exchange::Exchange;
use super::request::WantedOutput;
use super::response::InferResponse;
use super::shadow::Copied;
use crate::catalog::{LookupError, ShadowTarget, Traits};
use crate::error::{ApiError, ErrorResponse};
use crate::pipeline::Pipeline;
use crate::scheduler::{Permit, Placement, Work};
use crate::telemetry::Timings;
use crate::tenant::{Caller, ModelUsage, Role};
use crate::tensor::{self, NamedTensors, SpecMismatch};

/// Size of outputs that are encoded as JSON so quickly that the call can stay inline, in bytes.
const SMALL_ANSWER: usize = 16 << 10;

/// The sender of a request, and the request's identifier in replies and in the log.
#[derive(Clone)]
pub struct Client {
    pub request_id: Arc<str>,
    pub caller: Caller,
}

impl Client {
    /// The name of the client's tenant, as the catalog uses it.
    pub fn tenant(&self) -> &str {
        &self.caller.tenant.name
    }

    /// Checks that the client's key has the role. Each role includes the lower ones.
    pub fn must_be(&self, needed: Role) -> Result<(), ApiError> {
        let has = self.caller.role;
        match has >= needed {
            true => Ok(()),
            false if self.caller.is_anonymous() => Err(ApiError::NoKeyFor { needed: needed.name() }),
            false => Err(ApiError::Role { needed: needed.name(), has: has.name() }),
        }
    }
}

/// A request whose model was found. It is counted once, however it ends.
pub(crate) struct Call {
    pub client: Client,
    pub pipeline: Arc<Pipeline>,
    pub usage: Arc<ModelUsage>,
    /// True if the request is so small that it can be decoded inline.
    pub small: bool,
    shadow: Option<ShadowTarget>,
    begun: Instant,
    ended: bool,
}

impl DataPlane {
    /// Finds the model, and the version that the request names or is routed to. A failure is logged and counted here, once.
    pub(crate) fn begin(
        &self,
        client: &Client,
        headers: &HeaderMap,
        model: &str,
        version: Option<&str>,
    ) -> Result<Call, ErrorResponse> {
        let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let traits = Traits { tenant: &client.caller.tenant.name, header: &header };
        let found = match self.catalog.find(model, version, &traits) {
            Ok(found) => found,
            Err(not_served) => return Err(self.refuse(&client.request_id, not_served.into())),
        };
        let usage = client.caller.tenant.usage.of(&found.pipeline.model);
        let (client, pipeline, shadow) = (client.clone(), found.pipeline, found.shadow);
        Ok(Call { client, pipeline, usage, small: false, shadow, begun: Instant::now(), ended: false })
    }

    /// Finds a model for a request about the model itself.
    pub(crate) fn find(
        &self,
        client: &Client,
        model: &str,
        version: Option<&str>,
    ) -> Result<Arc<Pipeline>, LookupError> {
        let traits = Traits { tenant: client.tenant(), header: &|_| None };
        self.catalog.find(model, version, &traits).map(|found| found.pipeline)
    }

    /// Waits for a slot, then decodes, runs and encodes: on a compute thread, or inline if that is cheap. If the caller
    /// drops this future, the work is dropped at its next yield.
    pub(crate) async fn compute<E: Exchange>(&self, call: &Call, mut exchange: E) -> Result<E::Reply, ApiError> {
        let mut clock = Clock::start();
        let permit = self.compute.admit(&call.client.caller.tenant, call.usage.clone()).await?;
        let (pipeline, id, shadow) = (call.pipeline.clone(), call.client.request_id.clone(), call.shadow.clone());
        let bound = permit.tenant.limits().reply_bytes;
        let work = |permit: Permit| -> Work<_> {
            Box::pin(async move {
                let queue = clock.lap();
                let request = exchange.decode(&permit.context, &pipeline)?;
                let inputs = tensor::bind_tensors(&pipeline.signature.inputs, request.inputs)?;
                tensor::check_extents(&inputs, permit.tenant.limits().call.memory)?;
                check_outputs(&pipeline, request.outputs.as_deref())?;
                let rows = pipeline.signature.rows(&inputs);
                let copied = shadow.map(|shadow| Copied::new(shadow, &inputs, &request.parameters));
                let input = clock.lap();
                let outputs = pipeline.run(&permit, &id, inputs, &request.parameters).await?;
                let infer = clock.lap();
                let copied = copied.map(|copied| copied.answered(&outputs));
                if bytes_as_text(&outputs, request.outputs.as_deref(), request.binary_output) > SMALL_ANSWER {
                    permit.context.move_to_compute_thread().await;
                }
                let answer = answer(&pipeline, outputs, request.outputs.as_deref(), request.binary_output, bound)?;
                let answer = InferResponse { id: request.id, ..answer };
                let reply = exchange.encode(&permit.context, &pipeline, answer)?;
                pipeline.metrics.statistics.succeeded(&Timings { rows, queue, input, infer, output: clock.lap() });
                Ok::<_, ApiError>((reply, copied))
            })
        };
        let placement = if call.small { call.pipeline.placement } else { Placement::ComputeThread };
        let (reply, copied) = self.compute.run(permit, placement, work).await??;
        call.usage.reply_bytes.fetch_add(E::reply_bytes(&reply), Ordering::Relaxed);
        if let Some(copied) = copied {
            self.shadow.start(copied, &call.client.request_id);
        }
        Ok(reply)
    }

    /// Counts the call, and turns an error into the client's `ErrorResponse`.
    pub(crate) fn end<T>(&self, mut call: Call, answer: Result<T, ApiError>) -> Result<T, ErrorResponse> {
        call.ended = true;
        match answer {
            Ok(answer) => {
                call.usage.requests.fetch_add(1, Ordering::Relaxed);
                call.pipeline.metrics.ok.inc();
                Ok(answer)
            }
            Err(error) => {
                call.usage.refused.fetch_add(1, Ordering::Relaxed);
                call.pipeline.metrics.statistics.failed(call.begun.elapsed());
                call.pipeline.metrics.refused(error.code().name());
                Err(logged(&call.client.request_id, Some(call.pipeline.model.clone()), error))
            }
        }
    }

    /// Logs and counts an error of a request that named no model which exists, once, and returns it as the client's
    /// `ErrorResponse`.
    pub(crate) fn refuse(&self, request_id: &Arc<str>, error: ApiError) -> ErrorResponse {
        self.metrics.refused(error.code().name());
        logged(request_id, None, error)
    }
}

fn logged(request_id: &Arc<str>, model: Option<Arc<str>>, error: ApiError) -> ErrorResponse {
    let response = ErrorResponse { request: request_id.clone(), model, error: Arc::new(error) };
    response.log();
    response
}

impl Drop for Call {
    /// Counts a call whose client left before the response.
    fn drop(&mut self) {
        if !self.ended {
            self.usage.refused.fetch_add(1, Ordering::Relaxed);
            self.pipeline.metrics.statistics.failed(self.begun.elapsed());
            self.pipeline.metrics.refused("abandoned");
        }
    }
}

/// Stopwatch that measures one step of a call after the other.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn lap(&mut self) -> Duration {
        let begun = std::mem::replace(&mut self.0, Instant::now());
        self.0 - begun
    }
}

/// Size of the outputs that are sent as text and not as binary tensors, in bytes.
fn bytes_as_text(outputs: &NamedTensors, wanted: Option<&[WantedOutput]>, binary: bool) -> usize {
    let as_text = |name: &str| match wanted.filter(|wanted| !wanted.is_empty()) {
        None => !binary,
        Some(wanted) => wanted
            .iter()
            .filter(|wanted| wanted.name == name)
            .any(|wanted| wanted.classification.is_some() || !wanted.binary.unwrap_or(binary)),
    };
    outputs.iter().filter(|(name, _)| as_text(name)).map(|(_, tensor)| tensor.data().len()).sum()
}

/// Checks that each wanted output exists, is wanted only once, and can be given in the form that is wanted.
pub(crate) fn check_outputs(pipeline: &Pipeline, wanted: Option<&[WantedOutput]>) -> Result<(), ApiError> {
    let given = &pipeline.signature.outputs;
    let wanted = wanted.unwrap_or_default();
    // If more outputs are wanted than the model has, one of the first `given.len() + 1` is unknown or wanted twice.
    for (at, output) in wanted.iter().enumerate().take(given.len() + 1) {
        let Some(spec) = given.iter().find(|spec| *spec.name == *output.name) else {
            return Err(ApiError::UnknownOutput { output: output.name.clone(), known: tensor::names(given) });
        };
        if wanted[..at].iter().any(|earlier| earlier.name == output.name) {
            return Err(SpecMismatch::Twice { name: spec.name.clone() }.into());
        }
        if output.classification.is_some() {
            classification::check(spec)?;
        }
    }
    Ok(())
}

/// The outputs that the client wants, in its order and form. The texts of classes are limited by the bound on the reply.
pub(crate) fn answer(
    pipeline: &Pipeline,
    outputs: NamedTensors,
    wanted: Option<&[WantedOutput]>,
    binary: bool,
    bound: u64,
) -> Result<InferResponse, ApiError> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(InferResponse { id: None, binary: vec![binary; outputs.len()], outputs, bound });
    };
    let mut room = TextRoom::new(bound);
    let mut answer = InferResponse { id: None, outputs: Vec::with_capacity(wanted.len()), binary: Vec::new(), bound };
    for wanted in wanted {
        // Each exists: `check_outputs` was called before the computation.
        let found = outputs.iter().zip(&pipeline.signature.outputs).find(|((name, _), _)| **name == *wanted.name);
        let Some(((name, tensor), spec)) = found else { continue };
        let tensor = match wanted.classification {
            Some(count) => classification::classify(spec, pipeline.labels.get(&*spec.name), tensor, count, &mut room)?,
            None => tensor.clone(),
        };
        answer.outputs.push((name.clone(), tensor));
        answer.binary.push(wanted.binary.unwrap_or(binary));
    }
    Ok(answer)
}
