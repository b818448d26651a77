//! The outside: HTTP in, HTTP out. The only user of axum and hyper. Wire types stay here; what goes further in is named
//! tensors.

mod admin;
mod body;
mod call;
mod classification;
mod coding;
mod extensions;
mod infer;
mod models;
mod openapi;
mod path;
mod power;
mod refusal;
mod reply;
mod server;
mod sse;
mod wire;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::config::Http;
use crate::schedule::Compute;
use crate::telemetry::Metrics;

pub use admin::router as admin_router;
pub use models::router as client_router;
pub use server::{Server, Shutdown};

/// What requests are answered from.
pub struct App {
    pub catalog: Arc<Catalog>,
    pub compute: Compute,
    pub metrics: Arc<Metrics>,
    pub http: Http,
    room: body::Room,
}

impl App {
    pub fn new(catalog: Arc<Catalog>, compute: Compute, metrics: Arc<Metrics>, http: Http) -> App {
        let room = body::Room::new(&http);
        App { catalog, compute, metrics, http, room }
    }
}
