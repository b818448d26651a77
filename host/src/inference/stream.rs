//! Any number of answers to one request, each encoded on a compute thread as soon as it is there. What computes them stands
//! still while their reader has not taken the one before: a slow reader slows a plugin down, and costs no memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::app::App;
use super::call::{self, Call, Clock};
use super::request::{InferRequest, WantedOutput};
use super::response::InferResponse;
use crate::codec::error::EncodeError;
use crate::error::{ApiError, ErrorResponse};
use crate::pipeline::{Pipeline, RunError, StageError};
use crate::sandbox::{CallError, ResponseSink, SinkError};
use crate::scheduler::Task;
use crate::telemetry::Timings;
use crate::tenant::Budget;
use crate::tensor::{self, NamedTensors};

/// Answers on their way. Dropping it ends the work at its next yield.
pub(crate) struct ResponseStream<T> {
    app: Arc<App>,
    /// Taken when it has ended.
    call: Option<Call>,
    receiver: mpsc::Receiver<T>,
    task: Task<Result<(), ApiError>>,
}

impl<T: Send + 'static> ResponseStream<T> {
    /// `None` after the last; a refusal is the last.
    pub async fn next(&mut self) -> Option<Result<T, ErrorResponse>> {
        if let Some(answer) = self.receiver.recv().await {
            return Some(Ok(answer));
        }
        let call = self.call.take()?;
        let ended = (&mut self.task).await.map_err(ApiError::from).and_then(|ended| ended);
        self.app.end(call, ended).err().map(Err)
    }

    /// Ends it from outside.
    pub fn end(&mut self, problem: ApiError) -> Option<ErrorResponse> {
        self.receiver.close();
        self.app.end(self.call.take()?, Err::<(), _>(problem)).err()
    }

    pub fn into_stream(self) -> impl Stream<Item = Result<T, ErrorResponse>> + Send + 'static {
        stream::unfold(self, |mut answers| async move { answers.next().await.map(|answer| (answer, answers)) })
    }
}

/// An encoded answer, and its size in bytes.
pub(crate) type Encoded<T> = (T, u64);

impl App {
    /// Waits for a place, and starts. `encode` gets the bytes that the call may still send.
    pub(crate) async fn stream<T: Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        decode: impl FnOnce(&Pipeline) -> Result<InferRequest, ApiError> + Send + 'static,
        encode: impl FnMut(&Pipeline, InferResponse, u64) -> Result<Encoded<T>, ApiError> + Send + 'static,
    ) -> Result<ResponseStream<T>, ErrorResponse> {
        let mut clock = Clock::start();
        let admitted = self.compute.admit(&call.client.caller.tenant, call.usage.clone()).await;
        let permit = match admitted {
            Ok(permit) => permit,
            Err(no_place) => return self.end(call, Err(no_place.into())),
        };
        let (pipeline, id) = (call.pipeline.clone(), call.client.request_id.clone());
        let (sender, receiver) = mpsc::channel(1);
        let whole = permit.tenant.limits().reply_bytes;
        let tenant = permit.tenant.name.clone();
        let usage = call.usage.clone();
        let work = Box::pin(async move {
            let queue = clock.lap();
            let request = decode(&pipeline)?;
            let inputs = tensor::bind_tensors(&pipeline.signature.inputs, request.inputs)?;
            tensor::check_extents(&inputs, permit.tenant.limits().call.memory)?;
            call::check_outputs(&pipeline, request.outputs.as_deref())?;
            let (wanted, binary, request_id) = (request.outputs, request.binary_output, request.id);
            let held = pipeline.clone();
            let sink = Encoding { pipeline: held, wanted, binary, request_id, encode, whole, left: whole, sender };
            let rows = pipeline.signature.rows(&inputs);
            let input = clock.lap();
            let ended = pipeline.stream(&permit, &id, inputs, request.parameters, Box::new(sink)).await;
            ended.map_err(problem)?;
            let timings = Timings { rows, queue, input, infer: clock.lap(), output: Duration::ZERO };
            pipeline.metrics.statistics.succeeded(&timings);
            Ok(())
        });
        let task = self.compute.start(&tenant, usage, work);
        Ok(ResponseStream { app: self.clone(), call: Some(call), receiver, task })
    }
}

/// What the sink below found is a problem of its own, whatever it went through since.
fn problem(error: RunError) -> ApiError {
    match error {
        RunError { stage, error: StageError::Plugin(CallError::Sink(error)) } => match error.downcast::<ApiError>() {
            Ok(problem) => *problem,
            Err(error) => RunError { stage, error: StageError::Plugin(CallError::Sink(error)) }.into(),
        },
        error => error.into(),
    }
}

/// Encodes answers, and waits until each is taken.
struct Encoding<T, E> {
    pipeline: Arc<Pipeline>,
    wanted: Option<Vec<WantedOutput>>,
    binary: bool,
    request_id: Option<String>,
    encode: E,
    /// Bytes that may be sent, and what is left of them.
    whole: u64,
    left: u64,
    sender: mpsc::Sender<T>,
}

/// A connection whose client takes nothing is closed long before (`http.reply-time`), and the wait with it.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

#[async_trait]
impl<T, E> ResponseSink for Encoding<T, E>
where
    T: Send,
    E: FnMut(&Pipeline, InferResponse, u64) -> Result<Encoded<T>, ApiError> + Send,
{
    async fn take(&mut self, outputs: NamedTensors, budget: &mut Budget) -> Result<bool, SinkError> {
        let bound = self.whole;
        // What is left is less than the client knows of.
        let of_whole = |problem| match problem {
            ApiError::Encode(EncodeError::TooLarge { .. }) => EncodeError::TooLarge { bound }.into(),
            other => other,
        };
        let answer = call::answer(&self.pipeline, outputs, self.wanted.as_deref(), self.binary, self.left);
        let answer = InferResponse { id: self.request_id.clone(), ..answer.map_err(of_whole)? };
        let encoded = (self.encode)(&self.pipeline, answer, self.left).map_err(of_whole);
        let (encoded, bytes) = encoded?;
        self.left = self.left.saturating_sub(bytes);
        let _pause = budget.pause(LONGEST_WAIT);
        Ok(self.sender.send(encoded).await.is_ok())
    }
}
