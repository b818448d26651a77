//! The host's metrics, for Prometheus. They contain the names of tenants' models, so only the operator may read them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::operator::Operator;
use super::state::AdminState;
use crate::error::ApiError;

pub(super) async fn metrics(State(state): State<Arc<AdminState>>, operator: Operator) -> Result<Response, ApiError> {
    operator.must_be_admin()?;
    state.metrics.buffered_bytes.set(i64::try_from(state.bodies.buffers.taken()).unwrap_or(i64::MAX));
    Ok(match state.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    })
}
