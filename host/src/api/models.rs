//! The addresses that clients know: server and model metadata, health, inference.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{Method, Request, Response, StatusCode};
use axum::middleware;
use axum::routing::{any, get};
use serde_json::{Value, json};

use super::App;
use super::auth::Peer;
use super::call::Client;
use super::infer::json_response;
use super::path::{Action, ModelPath};
use super::refusal::Problem;
use super::request_id::{RequestId, with_request_id};
use crate::catalog::Traits;
use crate::pipeline::Pipeline;
use crate::tenant::Caller;
use crate::tensor::TensorSpec;

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/", get(server_metadata))
        .route("/v2/health/live", get(server_live))
        .route("/v2/health/ready", get(server_ready))
        .route("/v2/models/{*path}", any(model))
        .fallback(no_such_address)
        .method_not_allowed_fallback(only_get)
        .layer(middleware::from_fn(with_request_id))
        .with_state(app)
}

async fn server_metadata() -> Response<Body> {
    let metadata = json!({ "name": "bulkhead", "version": env!("CARGO_PKG_VERSION"), "extensions": [] });
    json_response(metadata.to_string().into_bytes())
}

async fn server_live() -> Response<Body> {
    json_response(json!({ "live": true }).to_string().into_bytes())
}

async fn server_ready(State(app): State<Arc<App>>) -> Response<Body> {
    let ready = app.catalog.all_ready();
    let mut response = json_response(json!({ "ready": ready }).to_string().into_bytes());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn no_such_address(State(app): State<Arc<App>>, request: Request<Body>) -> Problem {
    app.drain(request.into_body()).await;
    Problem::NoSuchAddress
}

async fn only_get() -> Problem {
    Problem::Method { allowed: "GET" }
}

async fn model(
    State(app): State<Arc<App>>,
    request_id: RequestId,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    // The undecoded path: an encoded slash in a name is part of the name.
    let path = request.uri().path().strip_prefix("/v2/models/").and_then(ModelPath::parse);
    let client = match app.caller(request.headers(), peer) {
        Ok(caller) => Client { request_id: request_id.0, caller },
        Err(problem) => {
            app.drain(request.into_body()).await;
            return Err(problem);
        }
    };
    match (path, request.method()) {
        (None, _) => Err(Problem::NoSuchAddress),
        (Some(path), &Method::POST) if path.action == Action::Infer => Ok(app.infer(&path, &client, request).await),
        (Some(path), &Method::GET | &Method::HEAD) if path.action != Action::Infer => {
            describe(&app, &client.caller, &path)
        }
        (Some(path), _) => {
            app.drain(request.into_body()).await;
            Err(Problem::Method { allowed: if path.action == Action::Infer { "POST" } else { "GET" } })
        }
    }
}

fn describe(app: &App, caller: &Caller, path: &ModelPath) -> Result<Response<Body>, Problem> {
    let tenant = &*caller.tenant.name;
    let traits = Traits { tenant, header: &|_| None };
    let pipeline = app.catalog.find(&path.model, path.version.as_deref(), &traits)?.pipeline;
    let body = match path.action {
        Action::Ready => json!({ "name": *pipeline.model, "ready": true }),
        _ => model_metadata(&pipeline, app.catalog.ready_versions(&pipeline.model, tenant)),
    };
    Ok(json_response(body.to_string().into_bytes()))
}

fn model_metadata(pipeline: &Pipeline, versions: Vec<String>) -> Value {
    let tensors = |specs: &[TensorSpec]| -> Value {
        let describe =
            |spec: &TensorSpec| json!({ "name": *spec.name, "datatype": spec.datatype.name(), "shape": spec.shape });
        specs.iter().map(describe).collect()
    };
    let stages: Value = pipeline.stages().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
    json!({
        "name": *pipeline.model,
        "versions": versions,
        "platform": "bulkhead_pipeline",
        "inputs": tensors(&pipeline.signature.inputs),
        "outputs": tensors(&pipeline.signature.outputs),
        "stages": stages,
    })
}
