//! `/v2/models/M/generate` and `generate_stream`: inputs and outputs as the fields of plain objects.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use bytes::Bytes;
use futures_util::stream;

use crate::api::call::Answer;
use crate::api::coding::Coding;
use crate::api::path::ModelPath;
use crate::api::refusal::Problem;
use crate::api::{App, reply, sse, wire};
use crate::pipeline::Pipeline;

impl App {
    /// One answer, as one object.
    pub(in crate::api) async fn generate(
        &self,
        path: &ModelPath,
        request_id: &Arc<str>,
        request: Request<Body>,
    ) -> Response<Body> {
        let bound = self.http.reply_bytes;
        let encode = move |pipeline: &Pipeline, answer: Answer, coding: Coding| {
            Ok(reply::inference(wire::encode_generated(pipeline, &answer, bound)?, coding))
        };
        self.answer(path, request_id, request, decode, encode).await
    }

    /// Each answer as an event, as it comes. A model of plain stages has one.
    pub(in crate::api) async fn generate_stream(
        &self,
        path: &ModelPath,
        request_id: &Arc<str>,
        request: Request<Body>,
    ) -> Response<Body> {
        let bound = self.http.reply_bytes;
        let encode = move |pipeline: &Pipeline, answer: Answer, _: Coding| {
            let event = wire::encode_generated(pipeline, &answer, bound)?.json;
            Ok(sse::events(stream::iter([Ok(event.into())])))
        };
        self.answer(path, request_id, request, decode, encode).await
    }
}

fn decode(_: &Parts, body: &Bytes, pipeline: &Pipeline) -> Result<wire::InferRequest, Problem> {
    Ok(wire::decode_generate(body, &pipeline.signature)?)
}
