//! `/v1/audit`: who did what, and whether the log of it is whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bulkhead_store::{AuditEntry, AuditHead, AuditSummary};
use serde::Deserialize;

use super::operator::Operator;
use crate::api::App;
use crate::api::extract::Query;
use crate::api::refusal::Problem;
use crate::control::ControlError;

/// The most entries of one reply.
const MOST: u64 = 1000;

#[derive(Debug, Deserialize)]
pub struct Page {
    /// Only entries with a higher number.
    #[serde(default)]
    after: u64,
    limit: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Noted {
    /// A head that was noted earlier, `count:hash`: the log must still contain it.
    noted: Option<String>,
}

pub async fn list(
    State(app): State<Arc<App>>,
    operator: Operator,
    Query(page): Query<Page>,
) -> Result<Json<Vec<AuditEntry>>, Problem> {
    operator.must_be_admin()?;
    let limit = page.limit.unwrap_or(100).min(MOST);
    Ok(Json(app.control.aside(move |control| Ok(control.metadata().audit(page.after, limit)?)).await?))
}

pub async fn verify(
    State(app): State<Arc<App>>,
    operator: Operator,
    Query(noted): Query<Noted>,
) -> Result<Json<AuditSummary>, Problem> {
    operator.must_be_admin()?;
    let head = noted.noted.map(|text| text.parse::<AuditHead>().map_err(|_| text)).transpose();
    let head = head.map_err(|text| ControlError::Invalid(format!("\"{text}\" is no head such as 12:0af3…")))?;
    let verified = app.control.aside(move |control| Ok(control.metadata().verify_audit(head.as_ref())?));
    Ok(Json(verified.await?))
}
