//! The addresses that clients know: server and model metadata, health, inference, and what extends them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::{any, get};
use serde::Serialize;

use super::extensions;
use super::extensions::config::{ModelConfig, PLATFORM};
use super::path::{Action, ModelPath, parse_name};
use super::power::Power;
use super::refusal::{Problem, Refusal};
use super::reply::json;
use super::wire::{ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, StageMetadata};
use super::{App, openapi};
use crate::pipeline::Pipeline;

/// Given back on every reply, and taken from the client where it sent one.
const REQUEST_ID: &str = "x-request-id";

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/", get(server_metadata))
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(openapi::page))
        .route("/v2/health/live", get(server_live))
        .route("/v2/health/ready", get(server_ready))
        .route("/v2/models/stats", get(all_statistics))
        .route("/v2/models/{*path}", any(model))
        .route("/v2/repository/{*path}", any(repository))
        .route("/v2/logging", any(logging))
        .route("/v2/trace/setting", any(trace))
        .route("/v2/systemsharedmemory/{*path}", any(shared_memory))
        .route("/v2/cudasharedmemory/{*path}", any(shared_memory))
        .fallback(no_such_address)
        .method_not_allowed_fallback(only_get)
        .layer(middleware::from_fn(with_request_id))
        .with_state(app)
}

/// What a request is called in replies and in the log.
#[derive(Clone)]
struct RequestId(Arc<str>);

async fn with_request_id(mut request: Request<Body>, next: Next) -> Response<Body> {
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

type Here = State<Arc<App>>;
type Id = Extension<RequestId>;

async fn server_metadata() -> Response<Body> {
    let extensions = &extensions::SERVED;
    json(&ServerMetadata { name: "bulkhead", version: env!("CARGO_PKG_VERSION"), extensions })
}

async fn server_live() -> Response<Body> {
    json(&ServerLive { live: true })
}

async fn server_ready(State(app): Here) -> Response<Body> {
    let ready = app.catalog.all_ready();
    let mut response = json(&ServerReady { ready });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn no_such_address(State(app): Here, Extension(id): Id, request: Request<Body>) -> Response<Body> {
    app.drain(request.into_body()).await;
    refuse(&id, Problem::NoSuchAddress)
}

async fn only_get(Extension(id): Id) -> Response<Body> {
    refuse(&id, Problem::Method { allowed: "GET" })
}

async fn all_statistics(State(app): Here, Extension(id): Id) -> Response<Body> {
    answer(&id, app.statistics(None, None).map_err(Problem::from))
}

async fn model(State(app): Here, Extension(id): Id, request: Request<Body>) -> Response<Body> {
    // The undecoded path: an encoded slash in a name is part of the name.
    let path = request.uri().path().strip_prefix("/v2/models/").and_then(ModelPath::parse);
    let Some(path) = path else { return refuse(&id, Problem::NoSuchAddress) };
    if !path.action.takes(request.method()) {
        app.drain(request.into_body()).await;
        return refuse(&id, Problem::Method { allowed: path.action.allowed() });
    }
    match path.action {
        Action::Infer => app.infer(&path, &id.0, request).await,
        Action::Generate => app.generate(&path, &id.0, request).await,
        Action::GenerateStream => app.generate_stream(&path, &id.0, request).await,
        Action::TraceSetting => trace_of(&app, &id, Some(&path.model), request).await,
        Action::Metadata | Action::Ready | Action::Config | Action::Statistics => {
            describe(&app, &path).unwrap_or_else(|problem| refuse(&id, problem))
        }
    }
}

fn describe(app: &App, path: &ModelPath) -> Result<Response<Body>, Problem> {
    if path.action == Action::Statistics {
        return Ok(json(&app.statistics(Some(&path.model), path.version.as_deref())?));
    }
    let pipeline = app.catalog.find(&path.model, path.version.as_deref())?;
    Ok(match path.action {
        Action::Ready => json(&ModelReady { name: &pipeline.model, ready: true }),
        Action::Config => json(&ModelConfig::of(&pipeline)),
        _ => json(&model_metadata(&pipeline, app.catalog.ready_versions(&pipeline.model))),
    })
}

fn model_metadata(pipeline: &Pipeline, versions: Vec<String>) -> ModelMetadata<'_> {
    ModelMetadata {
        name: &pipeline.model,
        versions,
        platform: PLATFORM,
        inputs: pipeline.signature.inputs.iter().map(Into::into).collect(),
        outputs: pipeline.signature.outputs.iter().map(Into::into).collect(),
        stages: pipeline.stages().map(|(name, kind)| StageMetadata { name, kind }).collect(),
    }
}

/// `index`, `models/M/load` and `models/M/unload`.
async fn repository(State(app): Here, Extension(id): Id, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().strip_prefix("/v2/repository/").unwrap_or_default().to_owned();
    let model = path.strip_prefix("models/").and_then(|path| path.rsplit_once('/'));
    let model = model.and_then(|(model, verb)| Some((parse_name(model)?, verb)));
    if !matches!((path.as_str(), &model), ("index", _) | (_, Some((_, "load" | "unload")))) {
        app.drain(request.into_body()).await;
        return refuse(&id, Problem::NoSuchAddress);
    }
    if request.method() != Method::POST {
        app.drain(request.into_body()).await;
        return refuse(&id, Problem::Method { allowed: "POST" });
    }
    let (head, body) = request.into_parts();
    let Some((model, verb)) = model else {
        let index = app.read_json(&head, body).await.map(|request| app.repository_index(&request));
        return answer(&id, index);
    };
    let done = async {
        app.check_power(&head, Power::Repository)?;
        let request = app.read_json(&head, body).await?;
        if verb == "load" { app.load_model(&model, &request).await } else { app.unload_model(&model).await }
    };
    answer(&id, done.await.map(|()| BTreeMap::<String, String>::new()))
}

async fn logging(State(app): Here, Extension(id): Id, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let settings = match app.check_power(&head, Power::Settings) {
        Ok(()) => app.logging(&head, body).await,
        Err(problem) => Err(problem),
    };
    answer(&id, settings)
}

async fn trace(State(app): Here, Extension(id): Id, request: Request<Body>) -> Response<Body> {
    trace_of(&app, &id, None, request).await
}

async fn trace_of(app: &App, id: &RequestId, model: Option<&str>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let settings = match app.check_power(&head, Power::Settings) {
        Ok(()) => app.tracing(model, &head, body).await,
        Err(problem) => Err(problem),
    };
    answer(id, settings)
}

async fn shared_memory(State(app): Here, Extension(id): Id, request: Request<Body>) -> Response<Body> {
    app.drain(request.into_body()).await;
    let instead = "send and fetch tensors in the body, as binary data";
    refuse(&id, Problem::NotSupported { what: "shared memory between clients and the host".into(), instead })
}

fn answer(id: &RequestId, answer: Result<impl Serialize, Problem>) -> Response<Body> {
    answer.map_or_else(|problem| refuse(id, problem), |answer| json(&answer))
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
