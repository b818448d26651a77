//! `/v2/models/M/generate` and `generate_stream`: inference with inputs and outputs as the fields of plain objects.

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;

use crate::error::ApiError;
use crate::http::inference::{ArrivedRequest, body_length};
use crate::inference::{Exchange, InferRequest, InferResponse};
use crate::pipeline::Pipeline;
use crate::protocol::oip::body;
use crate::protocol::oip::json::{self, GenerateForm};
use crate::scheduler::CallContext;

/// A request to `generate`, whose reply is one object; a model that streams must give exactly one response.
pub(crate) struct Generate(pub ArrivedRequest);

impl Exchange for Generate {
    type Reply = Response<Body>;

    fn decode(&mut self, _: &CallContext, model: &Pipeline) -> Result<InferRequest, ApiError> {
        body::decode(&mut self.0, model, &GenerateForm)
    }

    fn encode(&self, _: &CallContext, model: &Pipeline, response: InferResponse) -> Result<Response<Body>, ApiError> {
        self.0.reply(json::encode_generated(model, &response, response.bound)?)
    }

    fn reply_bytes(reply: &Response<Body>) -> u64 {
        body_length(reply)
    }
}

/// A request to `generate_stream`, whose reply is an event for each response, as soon as it is there. A model without a
/// generator has one.
pub(crate) struct GenerateStream(pub ArrivedRequest);

impl Exchange for GenerateStream {
    type Reply = Bytes;

    fn decode(&mut self, _: &CallContext, model: &Pipeline) -> Result<InferRequest, ApiError> {
        body::decode(&mut self.0, model, &GenerateForm)
    }

    fn encode(&self, _: &CallContext, model: &Pipeline, response: InferResponse) -> Result<Bytes, ApiError> {
        self.0.event(&json::encode_generated(model, &response, response.bound)?.json.concat())
    }

    fn reply_bytes(event: &Bytes) -> u64 {
        event.len() as u64
    }
}
