//! Handlers of `/v1/audit`: entries of the log of administrative acts, and the verification of its hash chain. Only the
//! operator may use them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bulkhead_store::AuditHead;
use serde::Deserialize;

use super::extract::QueryParams;
use super::operator::Operator;
use super::state::AdminState;
use super::wire::audit::{AuditLine, AuditVerified};
use crate::control::ControlError;
use crate::error::ApiError;

/// Upper bound on the entries of one reply.
const MOST: u64 = 1000;

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// Only entries with a higher number.
    #[serde(default)]
    after: u64,
    limit: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Noted {
    /// A head that was noted earlier, `count:hash`: the log must still contain it.
    noted: Option<String>,
}

pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(page): QueryParams<Page>,
) -> Result<Json<Vec<AuditLine>>, ApiError> {
    operator.must_be_admin()?;
    let limit = page.limit.unwrap_or(100).min(MOST);
    let entries = state.control.blocking(move |control| Ok(control.metadata().audit(page.after, limit)?)).await?;
    Ok(Json(entries.into_iter().map(AuditLine::from).collect()))
}

pub(super) async fn verify(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(noted): QueryParams<Noted>,
) -> Result<Json<AuditVerified>, ApiError> {
    operator.must_be_admin()?;
    let head = noted.noted.map(|text| text.parse::<AuditHead>().map_err(|_| text)).transpose();
    let head = head.map_err(|text| {
        ControlError::Invalid(format!("\"{text}\" is not a head of the audit log, such as 12:0af3…"))
    })?;
    let verified = state.control.blocking(move |control| Ok(control.metadata().verify_audit(head.as_ref())?));
    Ok(Json(verified.await?.into()))
}
