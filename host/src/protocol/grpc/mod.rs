//! The gRPC server: the services of the Open Inference Protocol and of TensorFlow Serving, health and reflection. An
//! inference call takes the same steps as over HTTP (`inference/call.rs`).

pub mod admission;
mod health;
pub mod inference;
pub mod request_body;
mod response_body;

use std::sync::Arc;

use axum::{Router, middleware};
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use super::pb;
use super::pb::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use super::pb::tensorflow::serving::model_service_server::ModelServiceServer;
use super::pb::tensorflow::serving::prediction_service_server::PredictionServiceServer;
use super::tfserving::{Models, Predictions};
use crate::http::listener::Shutdown;
use crate::http::request_id::with_request_id;
use crate::inference::App;
use crate::protocol::oip::grpc::service::Inference;
use health::Health;

/// The reflection service cannot be built from the compiled descriptors.
pub type ReflectionError = tonic_reflection::server::Error;

pub fn router(app: Arc<App>, shutdown: &Shutdown) -> Result<Router, ReflectionError> {
    let request_bytes = app.http.request_bytes as usize;
    let inference = GrpcInferenceServiceServer::new(Inference { app: app.clone(), shutdown: shutdown.clone() })
        .max_decoding_message_size(request_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip)
        .accept_compressed(Deflate)
        .send_compressed(Gzip)
        .send_compressed(Deflate);
    let predictions = PredictionServiceServer::new(Predictions { app: app.clone() })
        .max_decoding_message_size(request_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip)
        .accept_compressed(Deflate)
        .send_compressed(Gzip)
        .send_compressed(Deflate);
    let models = ModelServiceServer::new(Models { app: app.clone() });
    let services = vec![name(&inference), name(&predictions), name(&models)];
    let health = HealthServer::new(Health { app: app.clone(), shutdown: shutdown.clone(), services });
    let calls = Routes::new(inference).add_service(predictions).add_service(models).add_service(health);
    let calls = calls.add_service(reflection().build_v1()?).add_service(reflection().build_v1alpha()?);
    let calls = calls.into_axum_router();
    Ok(calls.layer(middleware::from_fn_with_state(app, admission::admit)).layer(middleware::from_fn(with_request_id)))
}

fn name<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
