//! Inference calls over gRPC that have one request and one response.

use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::decode::ModelInferParts;
use crate::codec::error::EncodeError;
use crate::error::ApiError;
use crate::inference::{Exchange, InferRequest, InferResponse};
use crate::pipeline::Pipeline;
use crate::protocol::grpc::admission::GrpcCall;
use crate::protocol::grpc::inference::{self, Asked};
use crate::protocol::pb::inference as pb;
use crate::scheduler::CallContext;

/// Answers one `ModelInferRequest`.
pub async fn infer(caller: &GrpcCall, message: Bytes) -> Result<pb::ModelInferResponse, Status> {
    let parts = inference::open(caller, message, ModelInferParts::open)?;
    inference::answer(caller, &asked(&parts), Infer(parts)).await
}

pub(crate) fn asked(parts: &ModelInferParts) -> Asked {
    Asked {
        model: parts.model.clone(),
        version: (!parts.version.is_empty()).then(|| parts.version.clone()),
        bytes: parts.bytes,
    }
}

/// A `ModelInferRequest`, with one response or a stream of responses.
pub(crate) struct Infer(pub ModelInferParts);

impl Exchange for Infer {
    type Reply = pb::ModelInferResponse;

    fn decode(&mut self, _: &CallContext, _: &Pipeline) -> Result<InferRequest, ApiError> {
        Ok(std::mem::take(&mut self.0).decode()?)
    }

    fn encode(
        &self,
        _: &CallContext,
        model: &Pipeline,
        response: InferResponse,
    ) -> Result<pb::ModelInferResponse, ApiError> {
        Ok(encode(model, response)?)
    }

    fn reply_bytes(reply: &pb::ModelInferResponse) -> u64 {
        reply.encoded_len() as u64
    }
}

/// Encodes the response. Outputs are raw bytes, as Triton's clients expect, and share their tensors' data until it is sent.
fn encode(pipeline: &Pipeline, answer: InferResponse) -> Result<pb::ModelInferResponse, EncodeError> {
    let bytes: u64 = answer.outputs.iter().map(|(_, tensor)| tensor.data().len() as u64).sum();
    if bytes > answer.bound {
        return Err(EncodeError::TooLarge { bound: answer.bound });
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
            shape: tensor.shape().iter().map(|size| size.cast_signed()).collect(),
            ..Default::default()
        });
    }
    Ok(response)
}
