//! `ModelStreamInfer`: a stream of requests, each with one response, or with any number of responses if its model streams.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, Fuse, SelectAll};
use futures_util::{Stream, StreamExt, future};
use tonic::{Request, Response, Status, Streaming};

use super::decode::ModelInferParts;
use super::infer::{Infer, asked};
use crate::codec::protobuf::fields::RawMessage;
use crate::error::{ApiError, ErrorResponse};
use crate::http::listener::Shutdown;
use crate::inference::call::Call;
use crate::inference::stream::ResponseStream;
use crate::protocol::grpc::admission::GrpcCall;
use crate::protocol::grpc::inference;
use crate::protocol::grpc::request_body::Extent;
use crate::protocol::pb::inference as pb;
use crate::scheduler;
use crate::tenant::AuthError;

/// Bound on how many requests of a stream run at once. Those whose models stream are counted separately.
const AHEAD: usize = 8;

pub(super) type Replies = Pin<Box<dyn Stream<Item = Result<pb::ModelStreamInferResponse, Status>> + Send>>;

/// Answers a stream of requests. Requests with one response are answered in their order; the responses of models that
/// stream are sent as soon as they are there. A request that fails is answered by the text of its error, and the stream
/// goes on. If the client asked for a status instead (`triton_grpc_error`), the status ends the stream. The client's
/// deadline is that of the whole stream, and ends it with a status. So does the end of the caller's rights, even while the
/// stream is idle.
pub(super) fn infer_stream(
    caller: GrpcCall,
    request: Request<Streaming<RawMessage>>,
    shutdown: &Shutdown,
) -> Result<Response<Replies>, Status> {
    let client = caller.client().map_err(|error| caller.refuse_call(error))?;
    let end_of_rights = Box::pin(caller.data_plane().end_of_rights(client.caller));
    let strict = request.metadata().get("triton_grpc_error").is_some_and(|value| value == "true");
    let begun = shutdown.clone();
    let messages = request.into_inner().take_until(Box::pin(async move { begun.begun().await }));
    let replying = caller.clone();
    let started = messages.map(move |message| begin(replying.clone(), message, strict)).buffered(AHEAD);
    let (shutdown, refusing) = (shutdown.clone(), caller.clone());
    let end = stream::once(async move { shutdown.has_begun() })
        .filter_map(move |begun| future::ready(begun.then(|| Err(refusing.refuse(ApiError::ShuttingDown)))));
    let replies = Box::pin(Interleaved::of(Box::pin(started)).chain(end));
    Ok(Response::new(Box::pin(until(end_of_rights, replies, caller))))
}

/// The replies until the caller's rights end, which ends the stream with a status, and the work for it.
fn until(
    end_of_rights: BoxFuture<'static, AuthError>,
    replies: Replies,
    caller: GrpcCall,
) -> impl Stream<Item = Result<pb::ModelStreamInferResponse, Status>> + Send {
    stream::unfold(Some((end_of_rights, replies, caller)), |open| async {
        let (mut end_of_rights, mut replies, caller) = open?;
        tokio::select! {
            biased;
            ended = &mut end_of_rights => Some((Err(caller.refuse_call(ended.into())), None)),
            reply = replies.next() => Some((reply?, Some((end_of_rights, replies, caller)))),
        }
    })
}

/// Starts a request in a task of its own. When a client does not take its responses, the stream is not polled any more, and
/// a request that has begun must not keep a slot that others wait for.
async fn begin(caller: GrpcCall, message: Result<RawMessage, Status>, strict: bool) -> Started {
    let started = scheduler::unattended(start(caller.clone(), message, strict)).await;
    started.unwrap_or_else(|panicked| Started::One(Err(caller.refuse_call(panicked.into()))))
}

/// A request that was started: its only response, or the stream of its responses.
enum Started {
    One(Result<pb::ModelStreamInferResponse, Status>),
    Many(Replies),
}

async fn start(caller: GrpcCall, message: Result<RawMessage, Status>, strict: bool) -> Started {
    let opened = message
        .map_err(|status| caller.translate(status, Extent::Stream))
        .and_then(|message| inference::open(&caller, message.0, ModelInferParts::open));
    let parts = match opened {
        Ok(parts) => parts,
        Err(status) => return Started::One(Err(status)),
    };
    let failing = Failing { caller: caller.clone(), id: parts.id.clone(), strict };
    let answered = match inference::accept(&caller, &asked(&parts)) {
        Ok(call) if call.pipeline.streams() => match Many::start(call, parts, failing.clone()).await {
            Ok(many) => return Started::Many(Box::pin(stream::unfold(Some(many), Many::step))),
            Err(status) => Err(status),
        },
        Ok(call) => inference::run(&caller, call, Infer(parts)).await,
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

/// The data that are needed to report a failure of a request.
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
        // The client finds out by the id which of its requests failed.
        let response = pb::ModelInferResponse { id: self.id, ..Default::default() };
        Ok(pb::ModelStreamInferResponse { error_message: status.message().to_owned(), ..reply(response, true) })
    }
}

/// A request whose model streams.
struct Many {
    answers: ResponseStream<pb::ModelInferResponse>,
    failing: Failing,
    /// The empty response that is sent after the others, if the client asked for it.
    last: Option<pb::ModelInferResponse>,
}

impl Many {
    async fn start(call: Call, parts: ModelInferParts, failing: Failing) -> Result<Many, Status> {
        let last = parts.wants_final_response().then(|| pb::ModelInferResponse {
            model_name: call.pipeline.model.to_string(),
            model_version: call.pipeline.version.to_string(),
            id: parts.id.clone(),
            ..Default::default()
        });
        let answers = failing.caller.data_plane().stream(call, Infer(parts)).await;
        let answers = answers.map_err(ErrorResponse::into_status)?;
        Ok(Many { answers, failing, last })
    }

    /// The next response, and the state from which to go on.
    async fn step(many: Option<Many>) -> Option<(Result<pb::ModelStreamInferResponse, Status>, Option<Many>)> {
        let mut many = many?;
        let next = match many.failing.caller.in_time(async { Ok(many.answers.next().await) }).await {
            Ok(next) => next,
            Err(late) => many.answers.end(late).map(Err),
        };
        match next {
            Some(Ok(answer)) => Some((Ok(reply(answer, false)), Some(many))),
            Some(Err(error)) => Some((many.failing.told(error.into_status()), None)),
            None => many.last.map(|last| (Ok(reply(last, true)), None)),
        }
    }
}

/// Merges the responses of a stream's requests. Requests start while earlier ones still stream; single responses and those
/// of models that stream take turns.
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

    /// The next single response. Requests whose models stream are moved to `open` on the way, as long as it has less than
    /// [`AHEAD`].
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
            // All open streams ended in this poll. `starting` was not polled, because they were full, so nothing else would
            // wake the task.
            Poll::Ready(None) if full => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => starting,
            answer => answer,
        }
    }
}
