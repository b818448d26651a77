//! The operator's port: a REST API for publishers, bundles, tenants, models and the audit log. Commands that change or
//! query a running host use only this API. A tenant's key with the role `deploy` is accepted, too, for the tenant's own
//! bundles, models and usage.

mod audit;
mod bundles;
mod extract;
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

use crate::error::ApiError;
use crate::http::request_id::around;

pub use state::AdminState;

pub fn router(state: Arc<AdminState>) -> Router {
    let router =
        operations::port().into_router().fallback(|| async { ApiError::NoSuchAddress }).with_state(state.clone());
    around(router, state.bodies.clone())
}
