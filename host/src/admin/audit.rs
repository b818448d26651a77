//! Handlers of `/v1/audit`: entries of the log of administrative acts, and the verification of its hash chain. Only the
//! operator may use them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bulkhead_store::{AuditEntry, AuditHead};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::QueryParams;
use super::operator::Operator;
use super::state::AdminState;
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

/// An entry of the audit log, as it was written.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLine {
    id: u64,
    /// Milliseconds since 1970.
    at: u64,
    who: String,
    what: String,
    subject: String,
    before: Value,
    after: Value,
    /// The hash of the entry before; zeros in the first entry.
    previous: String,
    hash: String,
    /// True if the entry matches its hash; `verify` checks the chain as a whole.
    intact: bool,
}

impl From<AuditEntry> for AuditLine {
    fn from(entry: AuditEntry) -> AuditLine {
        let AuditEntry { id, at, who, what, subject, before, after, previous, hash, intact } = entry;
        let (previous, hash) = (previous.hex(), hash.hex());
        AuditLine { id, at, who, what, subject, before, after, previous, hash, intact }
    }
}

/// Reply to a verification that found the log whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditVerified {
    /// The head of the log. A copy that is noted elsewhere as `count:hash` shows later if an entry up to it was rewritten.
    head: AuditHeadView,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
pub(super) struct AuditHeadView {
    count: u64,
    hash: String,
}

pub(super) async fn list(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(page): QueryParams<Page>,
) -> Result<Json<Vec<AuditLine>>, ApiError> {
    operator.must_be_admin()?;
    let limit = page.limit.unwrap_or(100).min(MOST);
    let entries = app.control.blocking(move |control| Ok(control.metadata().audit(page.after, limit)?)).await?;
    Ok(Json(entries.into_iter().map(AuditLine::from).collect()))
}

pub(super) async fn verify(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(noted): QueryParams<Noted>,
) -> Result<Json<AuditVerified>, ApiError> {
    operator.must_be_admin()?;
    let head = noted.noted.map(|text| text.parse::<AuditHead>().map_err(|_| text)).transpose();
    let head = head.map_err(|text| {
        ControlError::Invalid(format!("\"{text}\" is not a head of the audit log, such as 12:0af3…"))
    })?;
    let verified = app.control.blocking(move |control| Ok(control.metadata().verify_audit(head.as_ref())?));
    let head = verified.await?.head;
    Ok(Json(AuditVerified { head: AuditHeadView { count: head.count, hash: head.hash.hex() } }))
}
