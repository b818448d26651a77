//! The operator's port: a REST API for publishers, bundles, tenants, models and the audit log. Commands that change or
//! query a running host use only this API. A tenant's key with the role `deploy` is accepted, too, for the tenant's own
//! bundles, models and usage.

mod audit;
mod bundles;
mod extract;
mod front;
mod metrics;
mod models;
mod operations;
mod operator;
mod publishers;
mod settings;
mod state;
mod tenants;
pub(crate) mod wire;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::routing::get;

use crate::error::ApiError;
use crate::http::missing_address::missing_address;
use crate::http::request_id::around;

pub use state::AdminState;

pub fn router(state: Arc<AdminState>) -> Router {
    let router = operations::port().into_router().route("/", get(front::page));
    let router = router.fallback(no_such_address).with_state(state.clone());
    around(router, state.bodies.clone(), |router| router)
}

/// The beginnings of addresses that are only on the clients' port.
const OF_CLIENTS: [&str; 3] = ["/v2/health/ready", "/v2/models", "/v2/repository"];

async fn no_such_address(uri: Uri) -> ApiError {
    missing_address(uri.path(), &OF_CLIENTS, "the clients' port (listen.http)")
}
