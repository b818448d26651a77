//! Bodies of `/v1/tenants` and `/v1/usage`.

use bulkhead_store::{StoredUsage, UsageRow};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::config::TenantLimits;
use crate::control::{self, KeyRecord, TenantStatus, Timestamp};
use crate::tenant::Role;

/// A tenant with its limits, and the storage and memory that it uses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    name: String,
    #[schema(value_type = String)]
    created: Timestamp,
    disabled: bool,
    /// Limits that it was given of its own; the others are those of the host's configuration.
    #[schema(value_type = Object)]
    own_limits: Map<String, Value>,
    #[schema(value_type = Object)]
    limits: TenantLimits,
    stored_bytes: u64,
    /// Memory that its loaded versions hold now.
    resident_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
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
    id: String,
    tenant: String,
    #[schema(value_type = String)]
    role: Role,
    note: String,
    #[schema(value_type = String)]
    created: Timestamp,
    #[schema(value_type = Option<String>)]
    expires: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    revoked: Option<Timestamp>,
    /// `valid`, `expired` at this moment, or `revoked`.
    state: &'static str,
    /// The key itself; only in the reply to the request that created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// A request for a new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    #[schema(value_type = String)]
    role: Role,
    /// A note by which people tell keys apart.
    #[serde(default)]
    note: String,
    #[schema(value_type = Option<String>)]
    expires: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    usage: Vec<UsageLine>,
    /// Descriptions of the rows that were damaged on the disk; they are left out of `usage`.
    damaged: Vec<String>,
}

/// One tenant's use of one model, since the data folder was made.
#[derive(Debug, Serialize, ToSchema)]
struct UsageLine {
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

impl From<TenantStatus> for TenantView {
    fn from(tenant: TenantStatus) -> TenantView {
        let TenantStatus { name, created, disabled, own_limits, limits, stored_bytes, resident_bytes } = tenant;
        TenantView { name, created, disabled, own_limits, limits, stored_bytes, resident_bytes }
    }
}

impl KeyView {
    /// A key of the store; `key` is the key itself, if it was created just now.
    pub(crate) fn new(id: String, record: KeyRecord, key: Option<String>) -> KeyView {
        let KeyRecord { tenant, role, note, created, expires, revoked, hash: _ } = record;
        let state = match (revoked, expires) {
            (Some(_), _) => "revoked",
            (None, Some(expires)) if expires <= Timestamp::now() => "expired",
            (None, _) => "valid",
        };
        KeyView { id, tenant, role, note, created, expires, revoked, state, key }
    }
}

impl From<NewKey> for control::NewKey {
    fn from(new: NewKey) -> control::NewKey {
        let NewKey { role, note, expires } = new;
        control::NewKey { role, note, expires }
    }
}

impl From<StoredUsage> for UsageView {
    fn from(usage: StoredUsage) -> UsageView {
        let damaged = usage.damaged.iter().map(ToString::to_string).collect();
        UsageView { usage: usage.rows.into_iter().map(UsageLine::from).collect(), damaged }
    }
}

impl From<UsageRow> for UsageLine {
    fn from(row: UsageRow) -> UsageLine {
        let UsageRow { tenant, model, requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes } = row;
        UsageLine { tenant, model, requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes }
    }
}
