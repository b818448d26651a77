//! `/v2/models/M/generate` and `generate_stream`: inputs and outputs as the fields of plain objects.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use bytes::Bytes;

use crate::api::call::{Answer, Client};
use crate::api::path::ModelPath;
use crate::api::refusal::Problem;
use crate::api::reply::Replying;
use crate::api::{App, wire};
use crate::pipeline::Pipeline;

impl App {
    /// One answer, as one object.
    pub(in crate::api) async fn generate(
        self: &Arc<Self>,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
    ) -> Response<Body> {
        let bound = client.caller.tenant.limits().reply_bytes;
        let encode = move |pipeline: &Pipeline, answer: Answer, replying: Replying| {
            replying.inference(wire::encode_generated(pipeline, &answer, bound)?)
        };
        self.answer(path, client, request, decode, encode).await
    }

    /// Each answer as an event, as it comes. A model without a generator has one.
    pub(in crate::api) async fn generate_stream(
        self: &Arc<Self>,
        path: &ModelPath,
        client: &Client,
        request: Request<Body>,
    ) -> Response<Body> {
        let encode = |pipeline: &Pipeline, answer: Answer, bound: u64| {
            Ok(wire::encode_generated(pipeline, &answer, bound)?.json.concat())
        };
        self.answer_in_events(path, client, request, decode, encode).await
    }
}

fn decode(_: &Parts, body: &Bytes, pipeline: &Pipeline) -> Result<wire::InferRequest, Problem> {
    Ok(wire::decode_generate(body, &pipeline.signature)?)
}
