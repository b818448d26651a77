//! Inference over HTTP, with requests and replies as JSON, raw bytes, or both.

use axum::body::Body;
use axum::http::Response;

use crate::error::ApiError;
use crate::http::inference::{ArrivedRequest, body_length};
use crate::inference::{Exchange, InferRequest, InferResponse};
use crate::pipeline::Pipeline;
use crate::protocol::oip::{body, json};
use crate::scheduler::CallContext;

/// A request to `infer`.
pub(crate) struct Infer(pub ArrivedRequest);

impl Exchange for Infer {
    type Reply = Response<Body>;

    fn decode(&mut self, context: &CallContext, model: &Pipeline) -> Result<InferRequest, ApiError> {
        let mut request = body::decode(&mut self.0, model, &json::InferForm { context })?;
        request.binary_output |= json::take_binary_output(&mut request.parameters)?;
        Ok(request)
    }

    fn encode(
        &self,
        context: &CallContext,
        model: &Pipeline,
        response: InferResponse,
    ) -> Result<Response<Body>, ApiError> {
        self.0.reply(json::encode(context, model, &response, response.bound)?)
    }

    fn reply_bytes(reply: &Response<Body>) -> u64 {
        body_length(reply)
    }
}
