//! The REST routes of TensorFlow Serving, and their handlers.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response};
use axum::routing::any;
use bytes::Bytes;

use super::describe::{MetadataReply, VersionStatuses};
use super::path::{Verb, Wanted};
use super::rows::{self, RequestLayout};
use super::{encode, examples, status};
use crate::codec::error::EncodeError;
use crate::codec::json::writer::Encoded;
use crate::error::ApiError;
use crate::http::response::{self, Replying};
use crate::inference::call::Client;
use crate::inference::{App, InferResponse};
use crate::pipeline::{Labels, Pipeline};
use crate::protocol::oip::rest::path::{Action, ModelPath};
use crate::tensor::NamedTensors;

/// The routes, for the router of the clients' port.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/models/{*path}", any(model))
}

async fn model(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let (wanted, client) = match admit(&app, &request) {
        Ok(admitted) => admitted,
        Err(error) => {
            app.drain(request.into_body()).await;
            return Err(error);
        }
    };
    Ok(match wanted.verb {
        Verb::Status => {
            response::json(&VersionStatuses::from(status::of(&app, &client, &wanted.model, wanted.version.as_deref())?))
        }
        Verb::Metadata => {
            response::json(&MetadataReply::of(&*app.find(&client, &wanted.model, wanted.version.as_deref())?))
        }
        Verb::Predict => predict(&app, wanted, &client, request).await,
        Verb::Classify => learn(&app, wanted, &client, request, "tensorflow/serving/classify", encode::classes).await,
        Verb::Regress => learn(&app, wanted, &client, request, "tensorflow/serving/regress", encode::values).await,
    })
}

fn admit(app: &App, request: &Request<Body>) -> Result<(Wanted, Client), ApiError> {
    let wanted = request.uri().path().strip_prefix("/v1/models/").and_then(Wanted::parse);
    let wanted = wanted.ok_or(ApiError::NoSuchAddress)?;
    let allowed = wanted.verb.allowed();
    if request.method() != allowed && !(allowed == "GET" && request.method() == Method::HEAD) {
        return Err(ApiError::Method { allowed: allowed.into() });
    }
    Ok((wanted, app.client(request)?))
}

fn address(wanted: Wanted) -> ModelPath {
    ModelPath { model: wanted.model, version: wanted.version, action: Action::Infer }
}

async fn predict(app: &Arc<App>, wanted: Wanted, client: &Client, request: Request<Body>) -> Response<Body> {
    let limits = client.caller.tenant.limits();
    let (request_bytes, reply_bytes) = (limits.request_bytes, limits.reply_bytes);
    // The reply has the layout of the request, which `decode` passes on to `encode`.
    let layout = Arc::new(OnceLock::new());
    let decoded = layout.clone();
    let decode = move |_: &Parts, body: &Bytes, pipeline: &Pipeline| {
        let (request, layout) = rows::decode(body, &pipeline.signature.inputs, request_bytes)?;
        let _ = decoded.set(layout);
        Ok(request)
    };
    let encode = move |_: &Pipeline, answer: InferResponse, replying: Replying| {
        let layout = layout.get().copied().unwrap_or(RequestLayout::Columns);
        let json = encode::predictions(&answer.outputs, layout, reply_bytes)?;
        replying.inference(Encoded { json, tensors: Vec::new(), binary: false })
    };
    app.answer(&address(wanted), client, request, decode, encode).await
}

/// A writer of outputs, with the labels of their classes, within a bound in bytes.
type Results = fn(&NamedTensors, &BTreeMap<String, Labels>, u64) -> Result<Vec<Bytes>, EncodeError>;

/// Answers classification and regression, whose requests are examples, and whose replies are scores or values.
async fn learn(
    app: &Arc<App>,
    wanted: Wanted,
    client: &Client,
    request: Request<Body>,
    signature: &'static str,
    results: Results,
) -> Response<Body> {
    let limits = client.caller.tenant.limits();
    let (request_bytes, reply_bytes) = (limits.request_bytes, limits.reply_bytes);
    let decode = move |_: &Parts, body: &Bytes, pipeline: &Pipeline| {
        Ok(examples::decode(body, &pipeline.signature.inputs, signature, request_bytes)?)
    };
    let encode = move |pipeline: &Pipeline, answer: InferResponse, replying: Replying| {
        let json = results(&answer.outputs, &pipeline.labels, reply_bytes)?;
        replying.inference(Encoded { json, tensors: Vec::new(), binary: false })
    };
    app.answer(&address(wanted), client, request, decode, encode).await
}
