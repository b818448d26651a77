//! Streams of responses: any number of responses to one request, each encoded on a compute thread as soon as it is there.
//! The pipeline waits while the client has not taken the response before: a slow client slows a plugin down, holds no slot
//! meanwhile, and costs no more memory. A stream ends when its caller's rights do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::{Stream, stream};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::call::{self, Call, Clock};
use super::data_plane::DataPlane;
use super::exchange::Exchange;
use super::request::WantedOutput;
use super::response::InferResponse;
use crate::codec::error::EncodeError;
use crate::error::{ApiError, ErrorResponse};
use crate::pipeline::{Pipeline, RunError, StageError};
use crate::sandbox::{CallError, ResponseSink, SinkError};
use crate::scheduler::{Permit, Task, Work};
use crate::telemetry::Timings;
use crate::tenant::{AuthError, Budget};
use crate::tensor::{self, NamedTensors};

/// Responses of a call in progress. Dropping it ends the work at its next yield.
pub(crate) struct ResponseStream<T> {
    data_plane: Arc<DataPlane>,
    receiver: mpsc::Receiver<T>,
    /// Ready when the caller may no longer call.
    end_of_rights: BoxFuture<'static, AuthError>,
    /// `None` after the stream has ended.
    running: Option<(Call, Task<Result<(), ApiError>>)>,
}

impl<T: Send + 'static> ResponseStream<T> {
    /// The next response. An error is the last item; `None` follows the last.
    pub(crate) async fn next(&mut self) -> Option<Result<T, ErrorResponse>> {
        let (_, task) = self.running.as_mut()?;
        let answer = tokio::select! {
            biased;
            ended = &mut self.end_of_rights => return self.end(ended.into()).map(Err),
            answer = self.receiver.recv() => answer,
        };
        if let Some(answer) = answer {
            return Some(Ok(answer));
        }
        let ended = task.await.map_err(ApiError::from).and_then(|ended| ended);
        let (call, _) = self.running.take()?;
        self.data_plane.end(call, ended).err().map(Err)
    }

    /// Ends the stream and its work with an error from outside; `None` if it had ended already.
    pub(crate) fn end(&mut self, error: ApiError) -> Option<ErrorResponse> {
        let (call, _) = self.running.take()?;
        self.data_plane.end(call, Err::<(), _>(error)).err()
    }

    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<T, ErrorResponse>> + Send + 'static {
        stream::unfold(self, |mut answers| async move { answers.next().await.map(|answer| (answer, answers)) })
    }
}

impl DataPlane {
    /// Waits for a slot, and starts the work. The exchange encodes each response.
    pub(crate) async fn stream<E: Exchange>(
        self: &Arc<Self>,
        call: Call,
        mut exchange: E,
    ) -> Result<ResponseStream<E::Reply>, ErrorResponse> {
        let mut clock = Clock::start();
        let admitted = self.compute.admit_stream(&call.client.caller.tenant, call.usage.clone()).await;
        let permit = match admitted {
            Ok(permit) => permit,
            Err(error) => return self.end(call, Err(error.into())),
        };
        let (pipeline, id) = (call.pipeline.clone(), call.client.request_id.clone());
        let end_of_rights = Box::pin(self.end_of_rights(call.client.caller.clone()));
        let (sender, receiver) = mpsc::channel(1);
        let whole = permit.tenant.limits().reply_bytes;
        let work = |permit: Permit| -> Work<_> {
            Box::pin(async move {
                let permit = Arc::new(permit);
                let queue = clock.lap();
                let request = exchange.decode(&permit.context, &pipeline)?;
                let inputs = tensor::bind_tensors(&pipeline.signature.inputs, request.inputs)?;
                tensor::check_extents(&inputs, permit.tenant.limits().call.memory)?;
                call::check_outputs(&pipeline, request.outputs.as_deref())?;
                let (wanted, binary, request_id) = (request.outputs, request.binary_output, request.id);
                let sink = Encoding {
                    permit: permit.clone(),
                    pipeline: pipeline.clone(),
                    wanted,
                    binary,
                    request_id,
                    exchange,
                    whole,
                    left: whole,
                    sender,
                };
                let rows = pipeline.signature.rows(&inputs);
                let input = clock.lap();
                let ended = pipeline.stream(&permit, &id, inputs, request.parameters, Box::new(sink)).await;
                ended.map_err(problem)?;
                let timings = Timings { rows, queue, input, infer: clock.lap(), output: Duration::ZERO };
                pipeline.metrics.statistics.succeeded(&timings);
                Ok(())
            })
        };
        let task = self.compute.start(permit, work);
        Ok(ResponseStream { data_plane: self.clone(), receiver, end_of_rights, running: Some((call, task)) })
    }
}

/// The error of a stream. An `ApiError` of the sink below comes back inside a stage's error, and is taken out of it.
fn problem(error: RunError) -> ApiError {
    match error {
        RunError { stage, error: StageError::Plugin(CallError::Sink(error)) } => match error.downcast::<ApiError>() {
            Ok(error) => *error,
            Err(error) => RunError { stage, error: StageError::Plugin(CallError::Sink(error)) }.into(),
        },
        error => error.into(),
    }
}

/// The sink of a call's responses: encodes each, and waits while the connection has not taken the one before.
struct Encoding<E: Exchange> {
    permit: Arc<Permit>,
    pipeline: Arc<Pipeline>,
    wanted: Option<Vec<WantedOutput>>,
    binary: bool,
    request_id: Option<String>,
    exchange: E,
    /// Bytes that the call may send in all; `left` is the rest of them.
    whole: u64,
    left: u64,
    sender: mpsc::Sender<E::Reply>,
}

/// Bound on the wait for the client. A connection whose client takes nothing is closed long before (`http.reply-time`),
/// which ends the wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

#[async_trait]
impl<E: Exchange> ResponseSink for Encoding<E> {
    async fn take(&mut self, outputs: NamedTensors, budget: &mut Budget) -> Result<bool, SinkError> {
        let bound = self.whole;
        // The error names the whole bound, because the client does not know what is left of it.
        let of_whole = |error| match error {
            ApiError::Encode(EncodeError::TooLarge { .. }) => EncodeError::TooLarge { bound }.into(),
            other => other,
        };
        let answer = call::answer(&self.pipeline, outputs, self.wanted.as_deref(), self.binary, self.left);
        let answer = InferResponse { id: self.request_id.clone(), ..answer.map_err(of_whole)? };
        let reply = self.exchange.encode(&self.permit.context, &self.pipeline, answer).map_err(of_whole)?;
        let bytes = E::reply_bytes(&reply);
        self.permit.usage.reply_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.left = self.left.saturating_sub(bytes);
        let reply = match self.sender.try_send(reply) {
            Ok(()) => return Ok(true),
            Err(TrySendError::Closed(_)) => return Ok(false),
            Err(TrySendError::Full(reply)) => reply,
        };
        let _pause = budget.pause(LONGEST_WAIT);
        // The client has not taken the response before. Others compute in this call's slot until it has.
        Ok(self.permit.release_while(self.sender.send(reply)).await.is_ok())
    }
}
