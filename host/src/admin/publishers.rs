//! Handlers of `/v1/publishers`: the publishers whose signatures the host accepts, and their keys. Only the operator may
//! use them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use bulkhead_bundle::KeyHint;

use super::extract::JsonBody;
use super::operator::Operator;
use super::state::AdminState;
use super::wire::publishers::{Publisher, TrustRequest};
use crate::control::ControlError;
use crate::error::ApiError;

type Reply = Result<Json<Publisher>, ApiError>;

pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
) -> Result<Json<Vec<Publisher>>, ApiError> {
    operator.must_be_admin()?;
    let publishers = state.control.blocking(|control| Ok(control.publishers())).await?;
    Ok(Json(publishers.into_iter().map(|(name, publisher)| Publisher::new(name, publisher)).collect()))
}

pub(super) async fn trust(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<TrustRequest>,
) -> Reply {
    operator.must_be_admin()?;
    let trusted = name.clone();
    let publisher = state.control.blocking(move |control| control.trust(&operator.who, &trusted, request.into()));
    Ok(Json(Publisher::new(name, publisher.await?)))
}

pub(super) async fn revoke_key(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path((name, hint)): Path<(String, String)>,
) -> Reply {
    operator.must_be_admin()?;
    let hint: KeyHint = hint.parse().map_err(|error| ControlError::Invalid(format!("\"{hint}\": {error}")))?;
    let revoked = name.clone();
    let publisher = state.control.blocking(move |control| control.revoke_key(&operator.who, &revoked, &hint));
    Ok(Json(Publisher::new(name, publisher.await?)))
}

pub(super) async fn remove(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(name): Path<String>,
) -> Result<Json<()>, ApiError> {
    operator.must_be_admin()?;
    Ok(Json(state.control.blocking(move |control| control.distrust(&operator.who, &name)).await?))
}
