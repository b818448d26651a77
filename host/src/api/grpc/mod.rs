//! gRPC in, gRPC out: the Open Inference Protocol and TensorFlow Serving's calls, health and reflection. The only user of
//! tonic and prost. A call is answered by the same recipe as over HTTP (`api/call.rs`).

pub(in crate::api) mod caller;
mod config;
pub(in crate::api) mod contents;
mod decode;
mod health;
mod inbox;
pub(in crate::api) mod infer;
pub(in crate::api) mod message;
mod outgoing;
mod service;
mod settings;
mod stream;

use std::sync::Arc;

use axum::{Router, middleware};
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

pub use config::data_type;
pub use decode::Envelope;
pub use message::RawMessage;

use super::request_id::with_request_id;
use super::tfserving::{Models, Predictions};
use super::{App, Shutdown};
use health::Health;
use pb::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use pb::tensorflow::serving::model_service_server::ModelServiceServer;
use pb::tensorflow::serving::prediction_service_server::PredictionServiceServer;
use service::Inference;

/// Wire types, generated from `host/proto`.
#[allow(clippy::all, clippy::pedantic, reason = "generated")]
pub mod pb {
    pub mod inference {
        tonic::include_proto!("inference");
    }
    pub mod tensorflow {
        tonic::include_proto!("tensorflow");
        pub mod error {
            tonic::include_proto!("tensorflow.error");
        }
        pub mod serving {
            tonic::include_proto!("tensorflow.serving");
        }
    }
    /// For reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

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
    Ok(calls.layer(middleware::from_fn_with_state(app, caller::admit)).layer(middleware::from_fn(with_request_id)))
}

fn name<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
