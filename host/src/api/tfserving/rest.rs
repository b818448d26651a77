//! TensorFlow Serving's REST addresses.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response};
use axum::routing::any;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::path::{Verb, Wanted};
use super::rows::Form;
use super::{SIGNATURE, encode, examples, number, rows, status};
use crate::api::call::{Answer, Client};
use crate::api::grpc::pb::tensorflow as tf;
use crate::api::path::{Action, ModelPath};
use crate::api::refusal::Problem;
use crate::api::reply::Replying;
use crate::api::wire::{EncodeError, Encoded};
use crate::api::{App, reply};
use crate::pipeline::Pipeline;

/// To be merged into the clients' router.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/models/{*path}", any(model))
}

async fn model(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let (wanted, client) = match admit(&app, &request) {
        Ok(admitted) => admitted,
        Err(problem) => {
            app.drain(request.into_body()).await;
            return Err(problem);
        }
    };
    Ok(match wanted.verb {
        Verb::Status => reply::json(&versions(&app, &client, &wanted)?),
        Verb::Metadata => reply::json(&metadata(&app, &client, &wanted)?),
        Verb::Predict => predict(&app, wanted, &client, request).await,
        Verb::Classify => learn(&app, wanted, &client, request, "tensorflow/serving/classify", encode::classes).await,
        Verb::Regress => learn(&app, wanted, &client, request, "tensorflow/serving/regress", encode::values).await,
    })
}

fn admit(app: &App, request: &Request<Body>) -> Result<(Wanted, Client), Problem> {
    let wanted = request.uri().path().strip_prefix("/v1/models/").and_then(Wanted::parse);
    let wanted = wanted.ok_or(Problem::NoSuchAddress)?;
    let allowed = wanted.verb.allowed();
    if request.method() != allowed && !(allowed == "GET" && request.method() == Method::HEAD) {
        return Err(Problem::Method { allowed });
    }
    Ok((wanted, app.client(request)?))
}

fn versions(app: &App, client: &Client, wanted: &Wanted) -> Result<Value, Problem> {
    let versions = status::of(app, client, &wanted.model, wanted.version.as_deref())?;
    let told = |version: status::VersionStatus| {
        let (state, code) = if version.failed.is_none() { ("AVAILABLE", "OK") } else { ("END", "FAILED_PRECONDITION") };
        json!({
            "version": version.version.to_string(),
            "state": state,
            "status": { "error_code": code, "error_message": version.failed.as_deref().unwrap_or_default() },
        })
    };
    Ok(json!({ "model_version_status": versions.into_iter().map(told).collect::<Value>() }))
}

fn metadata(app: &App, client: &Client, wanted: &Wanted) -> Result<Value, Problem> {
    let pipeline = app.find(client, &wanted.model, wanted.version.as_deref())?;
    let signature = super::signature(&pipeline);
    let tensors = |tensors: std::collections::HashMap<String, tf::TensorInfo>| -> Value {
        let sorted: std::collections::BTreeMap<_, _> = tensors.into_iter().collect();
        Value::Object(sorted.into_iter().map(|(name, info)| (name, tensor_info(info))).collect::<Map<_, _>>())
    };
    let signature = json!({
        "inputs": tensors(signature.inputs),
        "outputs": tensors(signature.outputs),
        "method_name": signature.method_name,
    });
    Ok(json!({
        "model_spec": {
            "name": *pipeline.model,
            "signature_name": "",
            "version": number(&pipeline.version).to_string(),
        },
        "metadata": { "signature_def": { "signature_def": { SIGNATURE: signature } } },
    }))
}

fn tensor_info(info: tf::TensorInfo) -> Value {
    let sizes = info.tensor_shape.clone().unwrap_or_default().dim.into_iter();
    json!({
        "dtype": info.dtype().as_str_name(),
        "name": info.name,
        "tensor_shape": {
            "dim": sizes.map(|dim| json!({ "size": dim.size.to_string(), "name": dim.name })).collect::<Value>(),
            "unknown_rank": false,
        },
    })
}

fn address(wanted: Wanted) -> ModelPath {
    ModelPath { model: wanted.model, version: wanted.version, action: Action::Infer }
}

async fn predict(app: &App, wanted: Wanted, client: &Client, request: Request<Body>) -> Response<Body> {
    let limits = client.caller.tenant.limits();
    let (request_bytes, reply_bytes) = (limits.request_bytes, limits.reply_bytes);
    // The reply has the form of the request.
    let form = Arc::new(OnceLock::new());
    let asked = form.clone();
    let decode = move |_: &Parts, body: &Bytes, pipeline: &Pipeline| {
        let (request, form) = rows::decode(body, &pipeline.signature.inputs, request_bytes)?;
        let _ = asked.set(form);
        Ok(request)
    };
    let encode = move |_: &Pipeline, answer: Answer, replying: Replying| {
        let form = form.get().copied().unwrap_or(Form::Columns);
        let json = encode::predictions(&answer.outputs, form, reply_bytes)?;
        replying.inference(Encoded { json, tensors: Vec::new(), binary: false })
    };
    app.answer(&address(wanted), client, request, decode, encode).await
}

/// Classification and regression: examples in, scores or values out.
async fn learn(
    app: &App,
    wanted: Wanted,
    client: &Client,
    request: Request<Body>,
    signature: &'static str,
    results: fn(&crate::tensor::NamedTensors, u64) -> Result<Vec<u8>, EncodeError>,
) -> Response<Body> {
    let limits = client.caller.tenant.limits();
    let (request_bytes, reply_bytes) = (limits.request_bytes, limits.reply_bytes);
    let decode = move |_: &Parts, body: &Bytes, pipeline: &Pipeline| {
        Ok(examples::decode(body, &pipeline.signature.inputs, signature, request_bytes)?)
    };
    let encode = move |_: &Pipeline, answer: Answer, replying: Replying| {
        let json = results(&answer.outputs, reply_bytes)?;
        replying.inference(Encoded { json, tensors: Vec::new(), binary: false })
    };
    app.answer(&address(wanted), client, request, decode, encode).await
}
