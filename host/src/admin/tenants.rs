//! Handlers of `/v1/tenants` and `/v1/usage`: tenants, their limits and keys, and their usage.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value};

use super::extract::{JsonBody, QueryParams};
use super::operator::{Operator, Scope};
use super::state::AdminState;
use super::wire::tenants::{KeyView, NewKey, NewTenant, TenantView, UsageView};
use crate::control::KeyRecord;
use crate::error::ApiError;

type Reply = Result<Json<TenantView>, ApiError>;

pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
) -> Result<Json<Vec<TenantView>>, ApiError> {
    operator.must_be_admin()?;
    let tenants = state.control.blocking(|control| control.tenants()).await?;
    Ok(Json(tenants.into_iter().map(TenantView::from).collect()))
}

pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    JsonBody(new): JsonBody<NewTenant>,
) -> Reply {
    operator.must_be_admin()?;
    let made = state.control.blocking(move |control| control.create_tenant(&operator.who, &new.name, new.limits));
    Ok(Json(made.await?.into()))
}

pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Reply {
    let tenant = operator.tenant(Scope { tenant: Some(tenant) })?;
    Ok(Json(state.control.blocking(move |control| control.tenant(&tenant)).await?.into()))
}

pub(super) async fn remove(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Result<Json<()>, ApiError> {
    operator.must_be_admin()?;
    Ok(Json(state.control.blocking(move |control| control.delete_tenant(&operator.who, &tenant)).await?))
}

pub(super) async fn limits(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
    JsonBody(limits): JsonBody<Map<String, Value>>,
) -> Reply {
    operator.must_be_admin()?;
    Ok(Json(state.control.blocking(move |control| control.set_limits(&operator.who, &tenant, limits)).await?.into()))
}

pub(super) async fn disable(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Reply {
    set_disabled(state, operator, tenant, true).await
}

pub(super) async fn enable(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Reply {
    set_disabled(state, operator, tenant, false).await
}

async fn set_disabled(state: Arc<AdminState>, operator: Operator, tenant: String, disabled: bool) -> Reply {
    operator.must_be_admin()?;
    Ok(Json(
        state.control.blocking(move |control| control.set_disabled(&operator.who, &tenant, disabled)).await?.into(),
    ))
}

pub(super) async fn keys(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    operator.must_be_admin()?;
    let keys: BTreeMap<String, KeyRecord> = state.control.blocking(move |control| control.keys(&tenant)).await?;
    Ok(Json(keys.into_iter().map(|(id, record)| KeyView::new(id, record, None)).collect()))
}

pub(super) async fn create_key(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(tenant): Path<String>,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<Json<KeyView>, ApiError> {
    operator.must_be_admin()?;
    let made = state.control.blocking(move |control| control.create_key(&operator.who, &tenant, new.into()));
    let (key, record) = made.await?;
    Ok(Json(KeyView::new(key.id.clone(), record, Some(key.reveal().to_owned()))))
}

pub(super) async fn revoke_key(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<Json<KeyView>, ApiError> {
    operator.must_be_admin()?;
    let revoked = id.clone();
    let record =
        state.control.blocking(move |control| control.revoke_api_key(&operator.who, &tenant, &revoked)).await?;
    Ok(Json(KeyView::new(id, record, None)))
}

pub(super) async fn usage(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(scope): QueryParams<Scope>,
) -> Result<Json<UsageView>, ApiError> {
    let tenant = operator.tenants(scope)?;
    let usage = state.control.blocking(move |control| control.usage(tenant.as_deref())).await?;
    Ok(Json(usage.into()))
}
