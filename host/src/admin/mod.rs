//! The operator's port: a REST API for publishers, bundles, tenants, models and the audit log. Commands that change or
//! query a running host use only this API. A tenant's key with the role `deploy` is accepted, too, for the tenant's own
//! bundles, models and usage.

mod audit;
mod bundles;
mod extract;
mod metrics;
mod models;
mod openapi;
mod operator;
mod publishers;
mod settings;
mod state;
mod tenants;
pub(crate) mod wire;

use std::sync::Arc;

use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};

use crate::error::ApiError;
use crate::http::drain::read_unread;
use crate::http::request_id::around;
use crate::protocol::oip::rest::routes::server_live;

pub use state::AdminState;

pub fn router(app: Arc<AdminState>) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/v2/health/live", get(server_live))
        .route("/v2/logging", get(settings::logging).post(settings::logging))
        .route("/v2/trace/setting", get(settings::trace).post(settings::trace))
        .merge(publishers())
        .merge(bundles())
        .merge(tenants())
        .merge(models())
        .route("/openapi.json", get(openapi::for_operators))
        .route("/docs", get(openapi::page_for_operators))
        .route("/v1/audit", get(audit::list))
        .route("/v1/audit/verify", get(audit::verify))
        .fallback(|| async { ApiError::NoSuchAddress })
        .layer(middleware::from_fn_with_state(app.bodies.clone(), read_unread))
        .with_state(app);
    around(router)
}

fn publishers() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/publishers", get(publishers::list))
        .route("/v1/publishers/{name}", put(publishers::trust).delete(publishers::remove))
        .route("/v1/publishers/{name}/keys/{hint}/revoke", post(publishers::revoke_key))
}

fn bundles() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/bundles", get(bundles::list).post(bundles::upload))
        .route("/v1/bundles/{digest}", delete(bundles::remove))
        .route("/v1/bundles/{digest}/revoke", post(bundles::revoke))
}

fn tenants() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{tenant}", get(tenants::show).delete(tenants::remove))
        .route("/v1/tenants/{tenant}/limits", axum::routing::patch(tenants::limits))
        .route("/v1/tenants/{tenant}/disable", post(tenants::disable))
        .route("/v1/tenants/{tenant}/enable", post(tenants::enable))
        .route("/v1/tenants/{tenant}/keys", get(tenants::keys).post(tenants::create_key))
        .route("/v1/tenants/{tenant}/keys/{id}", delete(tenants::revoke_key))
        .route("/v1/usage", get(tenants::usage))
}

fn models() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::show))
        .route("/v1/models/{model}/labels/{label}", put(models::label).delete(models::unlabel))
        .route("/v1/models/{model}/split", put(models::split).delete(models::unsplit))
        .route("/v1/models/{model}/shadow", put(models::shadow).delete(models::unshadow))
        .route("/v1/models/{model}/policy", put(models::policy))
        .route("/v1/models/{model}/sharing", put(models::share))
        .route("/v1/models/{model}/rollback", post(models::rollback))
        .route("/v1/models/{model}/versions/{version}/retire", post(models::retire))
        .route("/v1/models/{model}/versions/{version}/activate", post(models::activate))
}
