//! `ModelStreamInfer`: a stream of requests, each with one answer, or with any number where its model streams.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::stream::{self, Fuse, SelectAll};
use futures_util::{Stream, StreamExt, future};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::decode::ModelInferParts;
use super::infer::{self, Asked};
use crate::codec::protobuf::fields::RawMessage;
use crate::error::{ApiError, ErrorResponse};
use crate::http::listener::Shutdown;
use crate::inference::InferResponse;
use crate::inference::call::Call;
use crate::inference::stream::ResponseStream;
use crate::pipeline::Pipeline;
use crate::protocol::grpc::admission::GrpcCall;
use crate::protocol::grpc::request_body::Extent;
use crate::protocol::pb::inference as pb;
use crate::scheduler;

/// Requests of a stream that are under way at once.
const AHEAD: usize = 8;

pub type Replies = Pin<Box<dyn Stream<Item = Result<pb::ModelStreamInferResponse, Status>> + Send>>;

/// Requests with one answer are answered in their order; the answers of those with several come as they are there. One that
/// fails is answered by its text, and the stream goes on, unless the client asked for a status (`triton_grpc_error`), which
/// can only be the last thing on a stream. The client's deadline is that of the whole stream, and so is its status.
pub fn infer_stream(
    caller: GrpcCall,
    request: Request<Streaming<RawMessage>>,
    shutdown: &Shutdown,
) -> Response<Replies> {
    let strict = request.metadata().get("triton_grpc_error").is_some_and(|value| value == "true");
    let begun = shutdown.clone();
    let messages = request.into_inner().take_until(Box::pin(async move { begun.begun().await }));
    let replying = caller.clone();
    let started = messages.map(move |message| begin(replying.clone(), message, strict)).buffered(AHEAD);
    let shutdown = shutdown.clone();
    let end = stream::once(async move { shutdown.has_begun() })
        .filter_map(move |begun| future::ready(begun.then(|| Err(caller.refuse(ApiError::ShuttingDown)))));
    Response::new(Box::pin(Interleaved::of(Box::pin(started)).chain(end)))
}

/// A client that does not take its answers stops the stream, which nobody looks at then. What has begun must not stand still
/// in the middle of it, with a place that others wait for.
async fn begin(caller: GrpcCall, message: Result<RawMessage, Status>, strict: bool) -> Started {
    let started = scheduler::unattended(start(caller.clone(), message, strict)).await;
    started.unwrap_or_else(|panicked| Started::One(Err(caller.refuse_call(panicked.into()))))
}

/// How a request is answered.
enum Started {
    One(Result<pb::ModelStreamInferResponse, Status>),
    Many(Replies),
}

async fn start(caller: GrpcCall, message: Result<RawMessage, Status>, strict: bool) -> Started {
    let opened = message
        .map_err(|status| caller.translate(status, Extent::Stream))
        .and_then(|message| infer::open(&caller, message.0).map_err(|problem| caller.refuse_call(problem)));
    let envelope = match opened {
        Ok(envelope) => envelope,
        Err(status) => return Started::One(Err(status)),
    };
    let failing = Failing { caller: caller.clone(), id: envelope.id.clone(), strict };
    let answered = match infer::accept(&caller, &Asked::of(&envelope)) {
        Ok(call) if call.pipeline.streams() => match Many::start(call, envelope, failing.clone()).await {
            Ok(many) => return Started::Many(Box::pin(stream::unfold(Some(many), Many::step))),
            Err(status) => Err(status),
        },
        Ok(call) => infer::run(&caller, call, envelope).await,
        Err(status) => Err(status),
    };
    Started::One(match answered {
        Ok(response) => Ok(reply(response, true)),
        Err(status) => failing.told(status),
    })
}

fn reply(mut response: pb::ModelInferResponse, last: bool) -> pb::ModelStreamInferResponse {
    let flag = pb::InferParameter { parameter_choice: Some(pb::infer_parameter::ParameterChoice::BoolParam(last)) };
    response.parameters.insert("triton_final_response".into(), flag);
    pb::ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
}

/// How a request of the stream fails.
#[derive(Clone)]
struct Failing {
    caller: GrpcCall,
    id: String,
    strict: bool,
}

impl Failing {
    fn told(self, status: Status) -> Result<pb::ModelStreamInferResponse, Status> {
        if self.strict || self.caller.is_late() {
            return Err(status);
        }
        // The id tells the client which of its requests it was.
        let response = pb::ModelInferResponse { id: self.id, ..Default::default() };
        Ok(pb::ModelStreamInferResponse { error_message: status.message().to_owned(), ..reply(response, true) })
    }
}

/// A request with any number of answers.
struct Many {
    answers: ResponseStream<pb::ModelInferResponse>,
    failing: Failing,
    /// Goes after the others, where the client wants to be told that there are no more.
    last: Option<pb::ModelInferResponse>,
}

impl Many {
    async fn start(call: Call, envelope: ModelInferParts, failing: Failing) -> Result<Many, Status> {
        let usage = call.usage.clone();
        let last = envelope.wants_final_response().then(|| pb::ModelInferResponse {
            model_name: call.pipeline.model.to_string(),
            model_version: call.pipeline.version.to_string(),
            id: envelope.id.clone(),
            ..Default::default()
        });
        let decode = move |_: &Pipeline| Ok(envelope.decode()?);
        let encode = move |pipeline: &Pipeline, answer: InferResponse, bound: u64| {
            let response = infer::encode(pipeline, answer, bound)?;
            let bytes = response.encoded_len() as u64;
            usage.reply_bytes.fetch_add(bytes, Ordering::Relaxed);
            Ok((response, bytes))
        };
        let app = failing.caller.app().clone();
        let answers = app.stream(call, decode, encode).await.map_err(ErrorResponse::into_status)?;
        Ok(Many { answers, failing, last })
    }

    /// The next reply, and what comes after it.
    async fn step(many: Option<Many>) -> Option<(Result<pb::ModelStreamInferResponse, Status>, Option<Many>)> {
        let mut many = many?;
        let next = match many.failing.caller.in_time(async { Ok(many.answers.next().await) }).await {
            Ok(next) => next,
            Err(late) => many.answers.end(late).map(Err),
        };
        match next {
            Some(Ok(answer)) => Some((Ok(reply(answer, false)), Some(many))),
            Some(Err(refusal)) => Some((many.failing.told(refusal.into_status()), None)),
            None => many.last.map(|last| (Ok(reply(last, true)), None)),
        }
    }
}

/// Lets requests start while earlier ones still stream. Those that have one answer and those that stream take turns.
struct Interleaved<S> {
    starting: Fuse<S>,
    open: SelectAll<Replies>,
    streams_first: bool,
}

type Polled = Poll<Option<Result<pb::ModelStreamInferResponse, Status>>>;

impl<S: Stream<Item = Started> + Unpin> Interleaved<S> {
    fn of(starting: S) -> Interleaved<S> {
        Interleaved { starting: starting.fuse(), open: SelectAll::new(), streams_first: false }
    }

    /// The next answer of a request that has one; those that stream are opened on the way, while there is room.
    fn poll_starting(&mut self, context: &mut Context<'_>) -> Polled {
        while self.open.len() < AHEAD {
            match self.starting.poll_next_unpin(context) {
                Poll::Ready(Some(Started::One(answer))) => return Poll::Ready(Some(answer)),
                Poll::Ready(Some(Started::Many(replies))) => self.open.push(replies),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }
}

impl<S: Stream<Item = Started> + Unpin> Stream for Interleaved<S> {
    type Item = Result<pb::ModelStreamInferResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        self.streams_first = !self.streams_first;
        if self.streams_first
            && let Poll::Ready(Some(answer)) = self.open.poll_next_unpin(context)
        {
            return Poll::Ready(Some(answer));
        }
        let full = self.open.len() >= AHEAD;
        let starting = self.poll_starting(context);
        if let Poll::Ready(Some(_)) = starting {
            return starting;
        }
        match self.open.poll_next_unpin(context) {
            // All have ended at once, and nobody was asked for more.
            Poll::Ready(None) if full => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => starting,
            answer => answer,
        }
    }
}
