//! The routers of the clients' ports. They join the protocols, which do not know each other.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, middleware};
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use super::grpc::admission::{self, is_grpc};
use super::grpc::health::Health;
use super::oip::extensions::repository::Repository;
use super::oip::grpc::service::Inference;
use super::pb::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use super::pb::tensorflow::serving::model_service_server::ModelServiceServer;
use super::pb::tensorflow::serving::prediction_service_server::PredictionServiceServer;
use super::tfserving::{Models, Predictions};
use super::{front, oip, openapi, pb, tfserving};
use crate::control::Control;
use crate::error::ApiError;
use crate::http::client_port::ClientPort;
use crate::http::cors::allow_origins;
use crate::http::listener::Shutdown;
use crate::http::missing_address::missing_address;
use crate::http::request_id::{RequestId, around, tell_error, with_request_id};
use crate::numbers::to_usize;

/// The reflection service cannot be built from the compiled descriptors.
pub type ReflectionError = tonic_reflection::server::Error;

/// The router of the port for HTTP. `control` is for clients that load and unload models.
pub fn client_router(port: Arc<ClientPort>, control: Arc<Control>) -> Router {
    let repository = Repository::new(port.data_plane.clone(), control);
    let router = tfserving::router()
        .route("/", get(front::page))
        .route("/openapi.json", get(openapi::for_clients))
        .route("/docs", get(openapi::page_for_clients))
        .fallback(no_such_address)
        .with_state(port.clone())
        .merge(oip::rest::routes::router(port.clone(), repository));
    around(router, port.bodies.clone(), |router| allow_origins(router, &port.origins))
}

/// The beginnings of addresses that are only on the operator's port.
const OF_OPERATOR: [&str; 5] = ["/metrics", "/v1/audit", "/v1/bundles", "/v1/publishers", "/v1/tenants"];

/// A client that speaks gRPC cannot read the JSON of a refusal, and would not learn that it has the wrong port.
async fn no_such_address(request: Request<Body>) -> Response<Body> {
    if is_grpc(request.headers()) {
        let other = ApiError::OtherPort { address: "gRPC", port: "another one (listen.grpc, 8001 by default)" };
        let refused = other.refuse(&RequestId::of(request.extensions()).0);
        refused.log();
        return refused.into_status().into_http();
    }
    let missing = match request.uri().path().trim_end_matches('/') {
        "/v2/models" => ApiError::ListElsewhere { instead: "POST /v2/repository/index lists the models".into() },
        path => missing_address(path, &OF_OPERATOR, "the operator's port (listen.admin)"),
    };
    missing.into_response()
}

/// The router of the port for gRPC. `control` is for clients that load and unload models.
pub fn grpc_router(
    port: Arc<ClientPort>,
    control: Arc<Control>,
    shutdown: &Shutdown,
) -> Result<Router, ReflectionError> {
    let request_bytes = to_usize(port.bodies.request_bytes);
    let data_plane = &port.data_plane;
    let repository = Repository::new(data_plane.clone(), control);
    let inference = Inference { data_plane: data_plane.clone(), repository, shutdown: shutdown.clone() };
    let inference = GrpcInferenceServiceServer::new(inference)
        .max_decoding_message_size(request_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip)
        .accept_compressed(Deflate)
        .send_compressed(Gzip)
        .send_compressed(Deflate);
    let predictions = PredictionServiceServer::new(Predictions { port: port.clone() })
        .max_decoding_message_size(request_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip)
        .accept_compressed(Deflate)
        .send_compressed(Gzip)
        .send_compressed(Deflate);
    let models = ModelServiceServer::new(Models { data_plane: data_plane.clone() });
    let services = vec![name(&inference), name(&predictions), name(&models)];
    let catalog = data_plane.catalog.clone();
    let health = HealthServer::new(Health { catalog, shutdown: shutdown.clone(), services });
    let calls = Routes::new(inference).add_service(predictions).add_service(models).add_service(health);
    let calls = calls.add_service(reflection().build_v1()?).add_service(reflection().build_v1alpha()?);
    let calls = calls.into_axum_router();
    let calls = calls.layer(middleware::from_fn_with_state(port, admission::admit));
    Ok(calls.layer(middleware::from_fn(tell_error)).layer(middleware::from_fn(with_request_id)))
}

fn name<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
