//! Inference over gRPC: one request, or a stream of them.

use std::pin::Pin;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::decode::Envelope;
use super::inbox::Extent;
use super::message::RawMessage;
use super::pb::inference as pb;
use crate::api::Shutdown;
use crate::api::body::SMALL_TEXT;
use crate::api::call::Answer;
use crate::api::refusal::{Problem, Refusal};
use crate::api::wire::{DecodeError, EncodeError, InferRequest};
use crate::pipeline::Pipeline;

/// Answers one request.
pub async fn infer(caller: &Caller, message: Bytes) -> Result<pb::ModelInferResponse, Status> {
    let opened = open(caller, message);
    let envelope = opened.map_err(|problem| caller.refuse_call(problem))?;
    run(caller, envelope).await
}

/// Requests of a stream that are under way at once. Their answers keep their order.
const AHEAD: usize = 8;

pub type Answers = Pin<Box<dyn Stream<Item = Result<pb::ModelStreamInferResponse, Status>> + Send>>;

/// Answers the requests of a stream in their order. One that fails is answered by its text, and the stream goes on,
/// unless the client asked for a status (`triton_grpc_error`), which can only be the last thing on a stream.
pub fn infer_stream(caller: Caller, request: Request<Streaming<RawMessage>>, shutdown: &Shutdown) -> Response<Answers> {
    let strict = request.metadata().get("triton_grpc_error").is_some_and(|value| value == "true");
    let begun = shutdown.clone();
    let messages = request.into_inner().take_until(Box::pin(async move { begun.begun().await }));
    let replying = caller.clone();
    let answers = messages.map(move |message| answer_one(replying.clone(), message, strict)).buffered(AHEAD);
    let shutdown = shutdown.clone();
    let end = stream::once(async move { shutdown.has_begun() })
        .filter_map(move |begun| future::ready(begun.then(|| Err(caller.refuse(Problem::ShuttingDown)))));
    Response::new(Box::pin(answers.chain(end)))
}

async fn answer_one(
    caller: Caller,
    message: Result<RawMessage, Status>,
    strict: bool,
) -> Result<pb::ModelStreamInferResponse, Status> {
    let message = message.map_err(|status| caller.translate(status, Extent::Stream))?;
    let opened = open(&caller, message.0);
    let envelope = opened.map_err(|problem| caller.refuse_call(problem))?;
    let id = envelope.id.clone();
    let mut response = match run(&caller, envelope).await {
        Ok(response) => pb::ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) },
        Err(status) if strict => return Err(status),
        // The id tells the client which of its requests it was.
        Err(status) => pb::ModelStreamInferResponse {
            error_message: status.message().to_owned(),
            infer_response: Some(pb::ModelInferResponse { id, ..Default::default() }),
        },
    };
    if let Some(response) = &mut response.infer_response {
        response.parameters.insert("triton_final_response".into(), flag(true));
    }
    Ok(response)
}

fn flag(value: bool) -> pb::InferParameter {
    pb::InferParameter { parameter_choice: Some(pb::infer_parameter::ParameterChoice::BoolParam(value)) }
}

fn open(caller: &Caller, message: Bytes) -> Result<Envelope, Problem> {
    let message = caller.inbox().take(message)?;
    Envelope::open(message).map_err(|malformed| DecodeError::from(malformed).into())
}

async fn run(caller: &Caller, envelope: Envelope) -> Result<pb::ModelInferResponse, Status> {
    let asked = Asked {
        model: envelope.model.clone(),
        version: (!envelope.version.is_empty()).then(|| envelope.version.clone()),
        bytes: envelope.bytes,
    };
    let decode = move |_: &Pipeline| Ok(envelope.decode()?);
    let encode = |pipeline: &Pipeline, answer: Answer, bound: u64| Ok(encode(pipeline, answer, bound)?);
    answer(caller, &asked, decode, encode).await
}

/// What a message is about, whatever protocol it is of.
pub struct Asked {
    pub model: String,
    pub version: Option<String>,
    /// Of the whole message.
    pub bytes: u64,
}

/// The recipe of whatever runs a model over gRPC, within the client's deadline. `encode` gets the bound of the reply.
pub async fn answer<T: Message + 'static>(
    caller: &Caller,
    asked: &Asked,
    decode: impl FnOnce(&Pipeline) -> Result<InferRequest, Problem> + Send + 'static,
    encode: impl FnOnce(&Pipeline, Answer, u64) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Status> {
    let app = caller.app();
    let client = caller.client().map_err(|problem| caller.refuse_call(problem))?;
    let limits = client.caller.tenant.limits();
    let call = app.begin(&client, caller.headers(), &asked.model, asked.version.as_deref());
    let mut call = call.map_err(Refusal::into_status)?;
    call.small = asked.bytes <= SMALL_TEXT as u64;
    if asked.bytes > limits.request_bytes {
        let problem = Problem::BodyTooLarge { bound: limits.request_bytes };
        return app.end(call, Err(problem)).map_err(Refusal::into_status);
    }
    call.usage.request_bytes.fetch_add(asked.bytes, Ordering::Relaxed);
    let (usage, bound) = (call.usage.clone(), limits.reply_bytes);
    let encode = move |pipeline: &Pipeline, answer: Answer| encode(pipeline, answer, bound);
    let answer = caller.in_time(app.compute(&call, decode, encode)).await;
    let answer = app.end(call, answer).map_err(Refusal::into_status)?;
    usage.reply_bytes.fetch_add(answer.encoded_len() as u64, Ordering::Relaxed);
    Ok(answer)
}

/// Outputs raw, as every client of Triton expects them; their bytes are shared until they are sent.
fn encode(pipeline: &Pipeline, answer: Answer, bound: u64) -> Result<pb::ModelInferResponse, EncodeError> {
    let bytes: u64 = answer.outputs.iter().map(|(_, tensor)| tensor.data().len() as u64).sum();
    if bytes > bound {
        return Err(EncodeError::TooLarge { bound });
    }
    let mut response = pb::ModelInferResponse {
        model_name: pipeline.model.to_string(),
        model_version: pipeline.version.to_string(),
        id: answer.id.unwrap_or_default(),
        ..Default::default()
    };
    for (name, tensor) in answer.outputs {
        response.raw_output_contents.push(tensor.data().clone());
        response.outputs.push(pb::model_infer_response::InferOutputTensor {
            name: name.to_string(),
            datatype: tensor.datatype().name().into(),
            shape: tensor.shape().iter().map(|size| *size as i64).collect(),
            ..Default::default()
        });
    }
    Ok(response)
}
