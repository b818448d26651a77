//! Handlers of `/v1/models`: the versions of a model that are served, how requests are divided between them, and the
//! tenants that may call the model.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::extract::{JsonBody, QueryParams};
use super::operator::{Operator, Scope};
use super::state::AdminState;
use super::wire::models::{Labelled, ModelView, Policy, Shadow, Sharing, Split};
use crate::activation::parse_version;
use crate::control::{Actor, BlockingControl, ControlError, ModelStatus, Serving};
use crate::error::ApiError;

type Reply = Result<Json<ModelView>, ApiError>;

/// Runs `act` on a thread that may block, for the tenant of the request, and replies with the model as it is afterwards.
async fn act(
    state: Arc<AdminState>,
    operator: Operator,
    scope: Scope,
    act: impl FnOnce(&BlockingControl, &Actor, &str) -> Result<ModelStatus, ControlError> + Send + 'static,
) -> Reply {
    let tenant = operator.tenant(scope)?;
    Ok(Json(state.control.blocking(move |control| act(control, &operator.who, &tenant)).await?.into()))
}

pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    QueryParams(scope): QueryParams<Scope>,
) -> Result<Json<Vec<ModelView>>, ApiError> {
    let tenant = operator.tenants(scope)?;
    let models = state.control.blocking(move |control| Ok(control.models(tenant.as_deref()))).await?;
    Ok(Json(models.into_iter().map(ModelView::from).collect()))
}

pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
) -> Reply {
    let tenant = operator.tenant(scope)?;
    Ok(Json(state.control.blocking(move |control| control.model(&tenant, &model)).await?.into()))
}

pub(super) async fn label(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path((model, label)): Path<(String, String)>,
    QueryParams(scope): QueryParams<Scope>,
    JsonBody(to): JsonBody<Labelled>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| {
        control.set_label(who, tenant, &model, &label, Some(to.version))
    })
    .await
}

pub(super) async fn unlabel(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path((model, label)): Path<(String, String)>,
    QueryParams(scope): QueryParams<Scope>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| control.set_label(who, tenant, &model, &label, None)).await
}

pub(super) async fn split(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
    JsonBody(split): JsonBody<Split>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| control.set_split(who, tenant, &model, Some(split.into())))
        .await
}

pub(super) async fn unsplit(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| control.set_split(who, tenant, &model, None)).await
}

pub(super) async fn shadow(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
    JsonBody(shadow): JsonBody<Shadow>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| {
        control.set_shadow(who, tenant, &model, Some(shadow.into()))
    })
    .await
}

pub(super) async fn unshadow(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| control.set_shadow(who, tenant, &model, None)).await
}

pub(super) async fn policy(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
    JsonBody(policy): JsonBody<Policy>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| control.set_policy(who, tenant, &model, policy.into()))
        .await
}

/// Sets the tenants that may call a model. Only the operator may, because this shows the model to other tenants.
pub(super) async fn share(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
    JsonBody(sharing): JsonBody<Sharing>,
) -> Reply {
    operator.must_be_admin()?;
    act(state, operator, scope, move |control, who, tenant| control.share(who, tenant, &model, sharing.into())).await
}

pub(super) async fn rollback(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path(model): Path<String>,
    QueryParams(scope): QueryParams<Scope>,
) -> Reply {
    act(state, operator, scope, move |control, who, tenant| control.rollback(who, tenant, &model)).await
}

pub(super) async fn retire(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path((model, version)): Path<(String, String)>,
    QueryParams(scope): QueryParams<Scope>,
) -> Reply {
    set_serving(state, operator, scope, model, version, Serving::Stop).await
}

pub(super) async fn activate(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    Path((model, version)): Path<(String, String)>,
    QueryParams(scope): QueryParams<Scope>,
) -> Reply {
    set_serving(state, operator, scope, model, version, Serving::Resume).await
}

async fn set_serving(
    state: Arc<AdminState>,
    operator: Operator,
    scope: Scope,
    model: String,
    version: String,
    serving: Serving,
) -> Reply {
    let version = parse_version(&version).map_err(ControlError::Invalid)?;
    act(state, operator, scope, move |control, who, tenant| {
        control.set_version_serving(who, tenant, &model, &version, serving)
    })
    .await
}
