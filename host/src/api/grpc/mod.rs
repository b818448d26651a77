//! gRPC in, gRPC out: the Open Inference Protocol and TensorFlow Serving's calls, health and reflection. The only user of
//! tonic and prost. A call is answered by the same recipe as over HTTP (`api/call.rs`).

mod caller;
mod config;
mod contents;
mod decode;
mod health;
mod inbox;
mod infer;
mod message;
mod service;
mod settings;

use std::sync::Arc;

use axum::{Router, middleware};
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

pub use config::data_type;
pub use message::RawMessage;

use super::request_id::with_request_id;
use super::{App, Shutdown};
use health::Health;
use pb::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
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
    let services = vec![name(&inference)];
    let health = HealthServer::new(Health { app: app.clone(), shutdown: shutdown.clone(), services });
    let calls = Routes::new(inference).add_service(health);
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
