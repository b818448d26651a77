//! Inference calls over gRPC that have one request and one response.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::decode::ModelInferParts;
use crate::codec::error::{DecodeError, EncodeError};
use crate::error::{ApiError, ErrorResponse};
use crate::http::request_body::SMALL_TEXT;
use crate::inference::call::Call;
use crate::inference::{InferRequest, InferResponse};
use crate::pipeline::Pipeline;
use crate::protocol::grpc::admission::GrpcCall;
use crate::protocol::pb::inference as pb;

/// Answers one `ModelInferRequest`.
pub async fn infer(caller: &GrpcCall, message: Bytes) -> Result<pb::ModelInferResponse, Status> {
    let opened = open(caller, message);
    let parts = opened.map_err(|error| caller.refuse_call(error))?;
    let call = accept(caller, &Asked::of(&parts))?;
    run(caller, call, parts).await
}

pub(crate) fn open(caller: &GrpcCall, message: Bytes) -> Result<ModelInferParts, ApiError> {
    let message = caller.inbox().take(message)?;
    ModelInferParts::open(message).map_err(|malformed| DecodeError::from(malformed).into())
}

pub(crate) async fn run(
    caller: &GrpcCall,
    call: Call,
    parts: ModelInferParts,
) -> Result<pb::ModelInferResponse, Status> {
    let decode = move |_: &Pipeline| Ok(parts.decode()?);
    let encode = |pipeline: &Pipeline, answer: InferResponse, bound: u64| Ok(encode(pipeline, answer, bound)?);
    run_call(caller, call, decode, encode).await
}

/// The model, version and size of a request, of either protocol.
pub struct Asked {
    pub model: String,
    pub version: Option<String>,
    /// Size in bytes of the whole message.
    pub bytes: u64,
}

impl Asked {
    pub(crate) fn of(parts: &ModelInferParts) -> Asked {
        Asked {
            model: parts.model.clone(),
            version: (!parts.version.is_empty()).then(|| parts.version.clone()),
            bytes: parts.bytes,
        }
    }
}

/// Runs a model over gRPC, for either protocol, within the client's deadline. `decode` and `encode` are called on a compute
/// thread, unless the call runs inline; `encode` gets the bound of the reply in bytes.
pub async fn answer<T: Message + 'static>(
    caller: &GrpcCall,
    asked: &Asked,
    decode: impl FnOnce(&Pipeline) -> Result<InferRequest, ApiError> + Send + 'static,
    encode: impl FnOnce(&Pipeline, InferResponse, u64) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, Status> {
    let call = accept(caller, asked)?;
    run_call(caller, call, decode, encode).await
}

/// Begins the call: finds the model, and checks the message's size against the tenant's bound.
pub(crate) fn accept(caller: &GrpcCall, asked: &Asked) -> Result<Call, Status> {
    let app = caller.app();
    let client = caller.client().map_err(|error| caller.refuse_call(error))?;
    let bound = client.caller.tenant.limits().request_bytes;
    let call = app.begin(&client, caller.headers(), &asked.model, asked.version.as_deref());
    let mut call = call.map_err(ErrorResponse::into_status)?;
    call.small = asked.bytes <= SMALL_TEXT as u64;
    if asked.bytes > bound {
        return app.end(call, Err(ApiError::BodyTooLarge { bound })).map_err(ErrorResponse::into_status);
    }
    call.usage.request_bytes.fetch_add(asked.bytes, Ordering::Relaxed);
    Ok(call)
}

async fn run_call<T: Message + 'static>(
    caller: &GrpcCall,
    call: Call,
    decode: impl FnOnce(&Pipeline) -> Result<InferRequest, ApiError> + Send + 'static,
    encode: impl FnOnce(&Pipeline, InferResponse, u64) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, Status> {
    let app = caller.app();
    let (usage, bound) = (call.usage.clone(), call.client.caller.tenant.limits().reply_bytes);
    let encode = move |pipeline: &Pipeline, answer: InferResponse| encode(pipeline, answer, bound);
    let answer = caller.in_time(app.compute(&call, decode, encode)).await;
    let answer = app.end(call, answer).map_err(ErrorResponse::into_status)?;
    usage.reply_bytes.fetch_add(answer.encoded_len() as u64, Ordering::Relaxed);
    Ok(answer)
}

/// Encodes the response. Outputs are raw bytes, as Triton's clients expect, and share their tensors' data until it is sent.
pub(crate) fn encode(
    pipeline: &Pipeline,
    answer: InferResponse,
    bound: u64,
) -> Result<pb::ModelInferResponse, EncodeError> {
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
