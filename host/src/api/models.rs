//! The addresses that clients know: server and model metadata, health, inference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::{any, get};
use serde_json::{Value, json};

use super::App;
use super::infer::json_response;
use super::path::{Action, ModelPath};
use super::refusal::{Problem, Refusal};
use crate::pipeline::Pipeline;
use crate::tensor::TensorSpec;

/// Given back on every reply, and taken from the client where it sent one.
const REQUEST_ID: &str = "x-request-id";

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

/// What a request is called in replies and in the log.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

pub(super) async fn with_request_id(mut request: Request<Body>, next: Next) -> Response<Body> {
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
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

async fn no_such_address(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    request: Request<Body>,
) -> Response<Body> {
    app.drain(request.into_body()).await;
    refuse(&id, Problem::NoSuchAddress)
}

async fn only_get(Extension(id): Extension<RequestId>) -> Response<Body> {
    refuse(&id, Problem::Method { allowed: "GET" })
}

async fn model(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    request: Request<Body>,
) -> Response<Body> {
    // The undecoded path: an encoded slash in a name is part of the name.
    let path = request.uri().path().strip_prefix("/v2/models/").and_then(ModelPath::parse);
    match (path, request.method()) {
        (None, _) => refuse(&id, Problem::NoSuchAddress),
        (Some(path), &Method::POST) if path.action == Action::Infer => app.infer(&path, &id.0, request).await,
        (Some(path), &Method::GET | &Method::HEAD) if path.action != Action::Infer => {
            describe(&app, &path).unwrap_or_else(|problem| refuse(&id, problem))
        }
        (Some(path), _) => {
            app.drain(request.into_body()).await;
            refuse(&id, Problem::Method { allowed: if path.action == Action::Infer { "POST" } else { "GET" } })
        }
    }
}

fn describe(app: &App, path: &ModelPath) -> Result<Response<Body>, Problem> {
    let pipeline = app.catalog.find(&path.model, path.version.as_deref())?;
    let body = match path.action {
        Action::Ready => json!({ "name": *pipeline.model, "ready": true }),
        _ => model_metadata(&pipeline, app.catalog.ready_versions(&pipeline.model)),
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

fn refuse(id: &RequestId, problem: Problem) -> Response<Body> {
    let refusal = Refusal { request: id.0.clone(), model: None, problem };
    refusal.log();
    refusal.into_response()
}

/// The client's own, if it is short and plain; else one that is unique in this process.
fn request_id(request: &Request<Body>) -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    match given {
        Some(id) => id.into(),
        None => format!("{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)).into(),
    }
}
