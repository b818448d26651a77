//! Authentication at the operator's port. The operator presents the host's admin token, or a key with the role `admin`, and
//! may see and change everything. A tenant presents a key with the role `deploy`, and may see and change only what it owns.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::state::AdminState;
use crate::control::{Actor, ControlError};
use crate::error::ApiError;
use crate::http::auth::bearer;
use crate::scheduler::Party;
use crate::tenant::{AuthError, Caller, DEFAULT_TENANT, Directory, Role};

#[derive(Clone, Debug)]
pub(super) struct Operator {
    /// The name for the audit log.
    pub who: Actor,
    /// The only tenant that the caller may see; `None` for the operator, who sees all.
    only: Option<Arc<str>>,
    /// `None` for the admin token.
    caller: Option<Caller>,
}

/// The query `?tenant=`: the tenant that owns the bundles and models of the request. Default: the tenant of the key, or the
/// tenant `default` for the operator.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Scope {
    pub tenant: Option<String>,
}

impl FromRequestParts<Arc<AdminState>> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Operator, ApiError> {
        let token = bearer(&parts.headers)?.ok_or(ApiError::NoToken)?;
        if state.admin_token.as_bytes().ct_eq(token.as_bytes()).into() {
            return Ok(Operator { who: "admin token".into(), only: None, caller: None });
        }
        let caller = state.directory.caller(token).map_err(refusal)?;
        let who = caller.name.clone();
        match caller.role {
            Role::Admin => Ok(Operator { who, only: None, caller: Some(caller) }),
            Role::Deploy => {
                if !parts.method.is_safe() {
                    caller.count_act()?;
                }
                Ok(Operator { who, only: Some(caller.tenant.name.clone()), caller: Some(caller) })
            }
            Role::Infer => Err(ApiError::Role { needed: "deploy", has: caller.role.name() }),
        }
    }
}

fn refusal(error: AuthError) -> ApiError {
    match error {
        AuthError::UnknownKey => ApiError::WrongToken,
        other => other.into(),
    }
}

impl Operator {
    /// Looks the caller's key up again, after a body that may have taken long to arrive.
    pub(super) fn check_again(&self, directory: &Directory) -> Result<(), ApiError> {
        self.caller.as_ref().map_or(Ok(()), |caller| directory.check(caller)).map_err(refusal)
    }

    pub(super) fn must_be_admin(&self) -> Result<(), ApiError> {
        match self.only {
            None => Ok(()),
            Some(_) => Err(ApiError::Role { needed: "admin", has: Role::Deploy.name() }),
        }
    }

    /// The party whose turns the caller's uploads take.
    pub(super) fn party(&self) -> Party {
        self.only.clone().map_or(Party::Operator, Party::Tenant)
    }

    /// The tenant that a request is about. A tenant that the caller may not see is reported as one that does not exist.
    pub(super) fn tenant(&self, scope: Scope) -> Result<String, ApiError> {
        match (&self.only, scope.tenant) {
            (None, tenant) => Ok(tenant.unwrap_or_else(|| DEFAULT_TENANT.into())),
            (Some(own), None) => Ok(own.to_string()),
            (Some(own), Some(tenant)) if **own == *tenant => Ok(tenant),
            (Some(_), Some(tenant)) => Err(ControlError::no_such("tenant", tenant).into()),
        }
    }

    /// The same as [`Operator::tenant`], but `None`, for all tenants, if the operator names none.
    pub(super) fn tenants(&self, scope: Scope) -> Result<Option<String>, ApiError> {
        if self.only.is_none() && scope.tenant.is_none() { Ok(None) } else { self.tenant(scope).map(Some) }
    }
}
