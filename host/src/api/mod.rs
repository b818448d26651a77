//! The outside: HTTP and gRPC in and out. The only user of axum, hyper, rustls, tonic and prost. Wire types stay here; what
//! goes further in is named tensors.

mod admin;
mod auth;
mod body;
mod call;
mod classification;
pub mod codecs;
mod coding;
mod connections;
mod extensions;
mod extract;
mod grpc;
mod infer;
mod models;
mod openapi;
mod outbox;
mod path;
mod refusal;
mod reply;
mod request_id;
mod room;
mod server;
mod shadow;
mod share;
mod speak;
mod unread;
mod sse;
mod steady;
mod stream;
mod tfserving;
mod tls;
mod wire;

use std::sync::Arc;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::catalog::Catalog;
use crate::config::{Anonymous, Config, Http};
use crate::control::Control;
use crate::schedule::Compute;
use crate::telemetry::Metrics;
use crate::tenant::Directory;
use shadow::ShadowRunner;

pub use admin::router as admin_router;
pub use connections::{Connections, Room as ConnectionRoom};
pub use grpc::{ReflectionError, router as grpc_router};
pub use models::router as client_router;
pub use server::{Server, Shutdown};
pub use tls::{Tls, TlsError};

/// For each upload that is activated, so many may be received to the disk: a slow sender holds up few others.
const RECEIVED_AHEAD: usize = 8;

/// What requests are answered from.
pub struct App {
    pub catalog: Arc<Catalog>,
    pub compute: Arc<Compute>,
    pub metrics: Arc<Metrics>,
    pub directory: Arc<Directory>,
    pub control: Arc<Control>,
    pub http: Http,
    /// The operator's.
    admin_token: Zeroizing<String>,
    /// Archives that may be on their way to the disk at once.
    receiving: Arc<Semaphore>,
    anonymous: Anonymous,
    shadow: Arc<ShadowRunner>,
    room: room::Room,
}

impl App {
    pub fn new(
        config: &Config,
        catalog: Arc<Catalog>,
        directory: Arc<Directory>,
        compute: Arc<Compute>,
        metrics: Arc<Metrics>,
        control: Arc<Control>,
        admin_token: Zeroizing<String>,
    ) -> App {
        let shadow = ShadowRunner::new(compute.clone(), metrics.clone(), &config.tenant);
        App {
            catalog,
            compute,
            metrics,
            directory,
            control,
            http: config.http.clone(),
            admin_token,
            receiving: Arc::new(Semaphore::new(config.bundles.uploads * RECEIVED_AHEAD)),
            anonymous: config.anonymous,
            shadow,
            room: room::Room::new(&config.http),
        }
    }
}
