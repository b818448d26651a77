//! `/v2/models/M/generate` and `generate_stream`: inference with inputs and outputs as the fields of plain objects.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use bytes::Bytes;

use crate::error::ApiError;
use crate::http::response::Replying;
use crate::inference::call::Client;
use crate::inference::{App, InferRequest, InferResponse};
use crate::pipeline::Pipeline;
use crate::protocol::oip::json;
use crate::protocol::oip::rest::path::ModelPath;

impl App {
    /// Answers `generate` with one object; a request to a model that streams must have exactly one response.
    pub(crate) async fn generate(
        self: &Arc<Self>,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
    ) -> Response<Body> {
        let bound = client.caller.tenant.limits().reply_bytes;
        let encode = move |pipeline: &Pipeline, answer: InferResponse, replying: Replying| {
            replying.inference(json::encode_generated(pipeline, &answer, bound)?)
        };
        self.answer(path, client, request, decode, encode).await
    }

    /// Answers `generate_stream` with an event for each response, as soon as it is there. A model without a generator has
    /// one.
    pub(crate) async fn generate_stream(
        self: &Arc<Self>,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
    ) -> Response<Body> {
        let encode = |pipeline: &Pipeline, answer: InferResponse, bound: u64| {
            Ok(json::encode_generated(pipeline, &answer, bound)?.json.concat())
        };
        self.answer_in_events(path, client, request, decode, encode).await
    }
}

fn decode(_: &Parts, body: &Bytes, pipeline: &Pipeline) -> Result<InferRequest, ApiError> {
    Ok(json::decode_generate(body, &pipeline.signature)?)
}
