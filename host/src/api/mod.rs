//! The outside: HTTP in, HTTP out. The only user of axum, hyper and rustls. Wire types stay here; what goes further in is named
//! tensors.

mod admin;
mod call;
mod infer;
mod models;
mod path;
mod refusal;
mod server;
mod tls;
mod wire;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::catalog::Catalog;
use crate::config::Http;
use crate::schedule::Compute;
use crate::telemetry::Metrics;

pub use admin::router as admin_router;
pub use models::router as client_router;
pub use server::{Server, Shutdown};
pub use tls::{Tls, TlsError};

/// What requests are answered from.
pub struct App {
    pub catalog: Arc<Catalog>,
    pub compute: Compute,
    pub metrics: Arc<Metrics>,
    pub http: Http,
    buffers: Arc<Semaphore>,
}

impl App {
    pub fn new(catalog: Arc<Catalog>, compute: Compute, metrics: Arc<Metrics>, http: Http) -> App {
        let buffers = Arc::new(Semaphore::new(buffer_units(&http)));
        App { catalog, compute, metrics, http, buffers }
    }

    /// Of `http.buffered-bytes`, what is taken now.
    fn buffered_bytes(&self) -> usize {
        (buffer_units(&self.http) - self.buffers.available_permits()) * infer::BUFFER_UNIT
    }
}

fn buffer_units(http: &Http) -> usize {
    (http.buffered_bytes as usize / infer::BUFFER_UNIT).min(Semaphore::MAX_PERMITS)
}
