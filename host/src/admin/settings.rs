//! Handlers of `/v2/logging` and `/v2/trace/setting`. They are at the operator's port, because they are settings of the
//! host.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};

use super::operator::Operator;
use super::state::AdminState;
use crate::error::ApiError;
use crate::http::response::json;
use crate::protocol::oip::extensions::settings;

type Reply = Result<Response<Body>, ApiError>;

pub(super) async fn logging(State(state): State<Arc<AdminState>>, operator: Operator, request: Request<Body>) -> Reply {
    operator.must_be_admin()?;
    let (head, body) = request.into_parts();
    Ok(json(&settings::logging(&state.bodies, &head, body).await?))
}

pub(super) async fn trace(State(state): State<Arc<AdminState>>, operator: Operator, request: Request<Body>) -> Reply {
    operator.must_be_admin()?;
    let (head, body) = request.into_parts();
    Ok(json(&settings::tracing(&state.bodies, &head, body).await?))
}
