//! The routes of the Open Inference Protocol: server and model metadata, health, inference and the extensions of the protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::{any, get};

use super::infer::Infer;
use super::path::{Action, ModelPath};
use crate::error::ApiError;
use crate::http::client_port::ClientPort;
use crate::http::missing_address::missing_list;
use crate::http::model_name::parse_name;
use crate::http::response::json;
use crate::inference::call::Client;
use crate::pipeline::Pipeline;
use crate::protocol::oip::extensions::config::ModelConfig;
use crate::protocol::oip::extensions::generate::{Generate, GenerateStream};
use crate::protocol::oip::extensions::repository::Repository;
use crate::protocol::oip::extensions::{self, settings, statistics};
use crate::protocol::oip::model_config::PLATFORM;
use crate::protocol::oip::types::{ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, StageMetadata};
use crate::tenant::Role;

/// The routes, for the router of the clients' port.
pub fn router(port: Arc<ClientPort>, repository: Repository) -> Router {
    let of_repository =
        Router::new().route("/v2/repository/{*path}", any(repository_request)).with_state((port.clone(), repository));
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/", get(server_metadata))
        .route("/v2/health/live", get(server_live))
        .route("/v2/health/live/", get(server_live))
        .route("/v2/health/ready", get(server_ready))
        .route("/v2/health/ready/", get(server_ready))
        .route("/v2/models/stats", get(all_statistics))
        .route("/v2/models/{*path}", any(model))
        .route("/v2/logging", get(logging).post(logging))
        .route("/v2/trace/setting", get(trace).post(trace))
        .route("/v2/systemsharedmemory/{*path}", any(shared_memory))
        .route("/v2/cudasharedmemory/{*path}", any(shared_memory))
        .with_state(port)
        .merge(of_repository)
}

type PortState = State<Arc<ClientPort>>;

async fn server_metadata() -> Response<Body> {
    let extensions = &extensions::SERVED;
    json(&ServerMetadata { name: "bulkhead", version: env!("CARGO_PKG_VERSION"), extensions })
}

pub(crate) async fn server_live() -> Response<Body> {
    json(&ServerLive { live: true })
}

async fn server_ready(State(port): PortState) -> Response<Body> {
    let ready = port.data_plane.catalog.all_ready();
    let mut response = json(&ServerReady { ready });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn all_statistics(State(port): PortState, request: Request<Body>) -> Reply {
    let client = port.client(&request)?;
    Ok(json(&statistics::of(&port.data_plane, &client, None, None)?))
}

type Reply = Result<Response<Body>, ApiError>;

async fn model(State(port): PortState, request: Request<Body>) -> Reply {
    // The path is not decoded yet, because an encoded slash is part of a name.
    let path = request.uri().path().strip_prefix("/v2/models/").and_then(ModelPath::parse);
    let path = path.ok_or(ApiError::NoSuchAddress)?;
    if !path.action.takes(request.method()) {
        return Err(ApiError::Method { allowed: path.action.allowed().into(), instead: path.action.instead() });
    }
    let client = port.client(&request)?;
    let (model, version) = (path.model.as_str(), path.version.as_deref());
    match path.action {
        Action::Infer => Ok(port.answer(&client, model, version, request, Infer).await),
        Action::Generate => Ok(port.answer(&client, model, version, request, Generate).await),
        Action::GenerateStream => Ok(port.answer_in_events(&client, model, version, request, GenerateStream).await),
        Action::TraceSetting => trace_of(&port, Some(&path.model), request).await,
        Action::Metadata | Action::Ready | Action::Config | Action::Statistics => describe(&port, &client, &path),
    }
}

fn describe(port: &ClientPort, client: &Client, path: &ModelPath) -> Reply {
    if path.action == Action::Statistics {
        return Ok(json(&statistics::of(&port.data_plane, client, Some(&path.model), path.version.as_deref())?));
    }
    let pipeline = port.data_plane.find(client, &path.model, path.version.as_deref());
    let pipeline = pipeline.map_err(|not_served| missing_list(not_served, &path.model, "/v2/models/"))?;
    let versions = || port.data_plane.catalog.ready_versions(&pipeline.model, client.tenant());
    Ok(match path.action {
        Action::Ready => json(&ModelReady { name: &pipeline.model, ready: true }),
        Action::Config => json(&ModelConfig::of(&pipeline, client.caller.tenant.limits().request_bytes)),
        _ => json(&model_metadata(&pipeline, versions())),
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

/// Answers `index`, `models/M/load` and `models/M/unload`.
async fn repository_request(
    State((port, repository)): State<(Arc<ClientPort>, Repository)>,
    request: Request<Body>,
) -> Reply {
    let path = request.uri().path().strip_prefix("/v2/repository/").unwrap_or_default();
    let path = path.trim_end_matches('/').to_owned();
    // The host has one repository, so that its name, which the protocol allows before `index`, says nothing.
    let path = if matches!(path.split_once('/'), Some((_, "index"))) { "index".to_owned() } else { path };
    let model = path.strip_prefix("models/").and_then(|path| path.rsplit_once('/'));
    let model = model.and_then(|(model, verb)| Some((parse_name(model)?, verb)));
    if path != "index" && !matches!(model, Some((_, "load" | "unload"))) {
        return Err(ApiError::NoSuchAddress);
    }
    if request.method() != Method::POST {
        return Err(ApiError::Method { allowed: "POST".into(), instead: "" });
    }
    let client = port.client(&request)?;
    let (head, body) = request.into_parts();
    let Some((model, verb)) = model else {
        let wanted = port.bodies.read_json(&head.headers, body).await?;
        return Ok(json(&repository.index(&client, &wanted).await?));
    };
    client.must_be(Role::Deploy)?;
    let wanted = port.bodies.read_json(&head.headers, body).await?;
    if verb == "load" {
        repository.load(&client, &model, &wanted).await?
    } else {
        repository.unload(&client, &model).await?
    }
    Ok(json(&BTreeMap::<String, String>::new()))
}

async fn logging(State(port): PortState, request: Request<Body>) -> Reply {
    port.client(&request)?.must_be(Role::Admin)?;
    let (head, body) = request.into_parts();
    Ok(json(&settings::logging(&port.bodies, &head, body).await?))
}

async fn trace(State(port): PortState, request: Request<Body>) -> Reply {
    trace_of(&port, None, request).await
}

async fn trace_of(port: &ClientPort, model: Option<&str>, request: Request<Body>) -> Reply {
    let client = port.client(&request)?;
    client.must_be(Role::Admin)?;
    model.map(|model| port.data_plane.find(&client, model, None)).transpose()?;
    let (head, body) = request.into_parts();
    Ok(json(&settings::tracing(&port.bodies, &head, body).await?))
}

async fn shared_memory() -> ApiError {
    let instead = "send and fetch tensors in the body, as binary data";
    ApiError::NotSupported { what: "shared memory between clients and the host".into(), instead }
}
