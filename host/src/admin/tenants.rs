//! Handlers of `/v1/tenants` and `/v1/usage`: tenants, their limits and keys, and their usage.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use bulkhead_store::UsageRow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::extract::{JsonBody, QueryParams};
use super::operator::{Operator, Scope};
use super::state::AdminState;
use crate::control::{KeyRecord, NewKey, TenantView, Timestamp};
use crate::error::ApiError;
use crate::tenant::Role;

type Reply = Result<Json<TenantView>, ApiError>;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    pub name: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub limits: Map<String, Value>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    pub id: String,
    pub tenant: String,
    #[schema(value_type = String)]
    pub role: Role,
    pub note: String,
    #[schema(value_type = String)]
    pub created: Timestamp,
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    pub revoked: Option<Timestamp>,
    /// The key itself; only in the reply to the request that created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// One tenant's use of one model, since the data folder was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageLine {
    tenant: String,
    model: String,
    requests: u64,
    refused: u64,
    fuel: u64,
    /// CPU time.
    cpu_nanoseconds: u64,
    request_bytes: u64,
    reply_bytes: u64,
}

impl From<UsageRow> for UsageLine {
    fn from(row: UsageRow) -> UsageLine {
        let UsageRow { tenant, model, requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes } = row;
        UsageLine { tenant, model, requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    pub usage: Vec<UsageLine>,
    /// Descriptions of the rows that were damaged on the disk; they are left out of `usage`.
    pub damaged: Vec<String>,
}

impl KeyView {
    fn new(id: String, record: KeyRecord, key: Option<String>) -> KeyView {
        let KeyRecord { tenant, role, note, created, expires, revoked, hash: _ } = record;
        KeyView { id, tenant, role, note, created, expires, revoked, key }
    }
}

pub(super) async fn list(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
) -> Result<Json<Vec<TenantView>>, ApiError> {
    operator.must_be_admin()?;
    Ok(Json(app.control.blocking(|control| control.tenants()).await?))
}

pub(super) async fn create(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    JsonBody(new): JsonBody<NewTenant>,
) -> Reply {
    operator.must_be_admin()?;
    let made = app.control.blocking(move |control| control.create_tenant(&operator.who, &new.name, new.limits));
    Ok(Json(made.await?))
}

pub(super) async fn show(State(app): State<Arc<AdminState>>, operator: Operator, Path(tenant): Path<String>) -> Reply {
    let tenant = operator.tenant(Scope { tenant: Some(tenant) })?;
    Ok(Json(app.control.blocking(move |control| control.tenant(&tenant)).await?))
}

pub(super) async fn remove(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Result<Json<()>, ApiError> {
    operator.must_be_admin()?;
    Ok(Json(app.control.blocking(move |control| control.delete_tenant(&operator.who, &tenant)).await?))
}

pub(super) async fn limits(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
    JsonBody(limits): JsonBody<Map<String, Value>>,
) -> Reply {
    operator.must_be_admin()?;
    Ok(Json(app.control.blocking(move |control| control.set_limits(&operator.who, &tenant, limits)).await?))
}

pub(super) async fn disable(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Reply {
    set_disabled(app, operator, tenant, true).await
}

pub(super) async fn enable(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Reply {
    set_disabled(app, operator, tenant, false).await
}

async fn set_disabled(app: Arc<AdminState>, operator: Operator, tenant: String, disabled: bool) -> Reply {
    operator.must_be_admin()?;
    Ok(Json(app.control.blocking(move |control| control.set_disabled(&operator.who, &tenant, disabled)).await?))
}

pub(super) async fn keys(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    operator.must_be_admin()?;
    let keys: BTreeMap<String, KeyRecord> = app.control.blocking(move |control| control.keys(&tenant)).await?;
    Ok(Json(keys.into_iter().map(|(id, record)| KeyView::new(id, record, None)).collect()))
}

pub(super) async fn create_key(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<Json<KeyView>, ApiError> {
    operator.must_be_admin()?;
    let made = app.control.blocking(move |control| control.create_key(&operator.who, &tenant, new));
    let (key, record) = made.await?;
    Ok(Json(KeyView::new(key.id.clone(), record, Some(key.reveal().to_owned()))))
}

pub(super) async fn revoke_key(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<Json<KeyView>, ApiError> {
    operator.must_be_admin()?;
    let revoked = id.clone();
    let record = app.control.blocking(move |control| control.revoke_api_key(&operator.who, &tenant, &revoked)).await?;
    Ok(Json(KeyView::new(id, record, None)))
}

pub(super) async fn usage(
    State(app): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(scope): QueryParams<Scope>,
) -> Result<Json<UsageView>, ApiError> {
    let tenant = operator.tenants(scope)?;
    let usage = app.control.blocking(move |control| control.usage(tenant.as_deref())).await?;
    let damaged = usage.damaged.iter().map(ToString::to_string).collect();
    let usage = usage.rows.into_iter().map(UsageLine::from).collect();
    Ok(Json(UsageView { usage, damaged }))
}
