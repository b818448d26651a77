//! The table of operations of the operator's port, from which its router and its OpenAPI document are made.

use std::sync::Arc;

use utoipa::openapi::path::HttpMethod;

use super::state::AdminState;
use super::wire::audit::{AuditLine, AuditVerified};
use super::wire::bundles::{BundleView, Reason, Uploaded};
use super::wire::models::{Labelled, ModelView, Policy, Shadow, Sharing, Split};
use super::wire::publishers::{Publisher, TrustRequest};
use super::wire::tenants::{KeyView, NewKey, NewTenant, TenantView, UsageView};
use super::{audit, bundles, metrics, models, publishers, settings, tenants};
use crate::openapi::document::About;
use crate::openapi::port::{Port, documents};
use crate::openapi::table::{NULL, OBJECT, Operation, Payload, Query, QueryKind, Scope, bytes, get, json, list, post};
use crate::protocol::oip::extensions::settings::{LogChanges, LogSettings, TraceSettings};
use crate::protocol::oip::rest::routes::server_live;
use crate::protocol::oip::types::ServerLive;

/// A row of the table.
type Route = crate::openapi::port::Route<Arc<AdminState>>;

const TAR: Payload = bytes("application/x-tar");

const STEPS: Payload = bytes("application/x-ndjson");

/// The query of an operation on something that a tenant owns.
const TENANT: &[Query] = &[Query { name: "tenant", kind: QueryKind::Text }];

const PAGE: &[Query] =
    &[Query { name: "after", kind: QueryKind::Number }, Query { name: "limit", kind: QueryKind::Number }];

const NOTED: &[Query] = &[Query { name: "noted", kind: QueryKind::Text }];

/// Error statuses of an operation that only reads.
const ASK: &[u16] = &[400, 401, 403, 404];

/// Error statuses of an operation that changes something.
const ACT: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503, 507];

/// Error statuses of an upload.
const UPLOAD: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 507];

fn put(id: &'static str, path: &'static str, takes: &[Payload], gives: &[Payload], summary: &'static str) -> Operation {
    act(HttpMethod::Put, id, path, takes, gives, summary)
}

fn delete(id: &'static str, path: &'static str, gives: &[Payload], summary: &'static str) -> Operation {
    act(HttpMethod::Delete, id, path, &[], gives, summary)
}

fn act(
    method: HttpMethod,
    id: &'static str,
    path: &'static str,
    takes: &[Payload],
    gives: &[Payload],
    summary: &'static str,
) -> Operation {
    Operation { method, ..post(id, Scope::Server, path, takes, gives, ACT, summary) }
}

const MODEL: &[Payload] = &[json::<ModelView>()];
const TENANT_VIEW: &[Payload] = &[json::<TenantView>()];
const NOTHING: &[Payload] = &[NULL];

fn read(id: &'static str, path: &'static str, gives: &[Payload], summary: &'static str) -> Operation {
    get(id, Scope::Server, path, gives, ASK, summary)
}

fn make(
    id: &'static str,
    path: &'static str,
    takes: &[Payload],
    gives: &[Payload],
    summary: &'static str,
) -> Operation {
    act(HttpMethod::Post, id, path, takes, gives, summary)
}

/// The operator's port.
pub(super) fn port() -> Port<Arc<AdminState>> {
    let about = About {
        title: "Bulkhead, the operator's port",
        text: "Publishers, bundles, tenants, models, the audit log. This port requires the admin token, or a key with the role deploy or admin.",
        anonymous: false,
    };
    Port::new(about)
        .section(
            "Publishers",
            "Publishers whose signatures are accepted, for which names and imports",
            publisher_rows(),
        )
        .section("Bundles", "Upload, list, delete and revoke bundles", bundle_rows())
        .section("Tenants", "Tenants, their limits and keys, and their usage", tenant_rows())
        .section("Models", "Versions that are served, and tenants that may call them", model_rows())
        .section("Audit", "The log of administrative acts", audit_rows())
        .section("Host", "Health, metrics and log settings", host_rows())
}

fn publisher_rows() -> Vec<Route> {
    vec![
        read("publishers", "/v1/publishers", &[list::<Publisher>()], "Publishers: keys, names, imports")
            .to(publishers::list),
        put(
            "trust",
            "/v1/publishers/{name}",
            &[json::<TrustRequest>()],
            &[json::<Publisher>()],
            "Trust a publisher, or change its names and imports",
        )
        .to(publishers::trust),
        delete("distrust", "/v1/publishers/{name}", NOTHING, "Remove a publisher; its bundles stop serving at once")
            .to(publishers::remove),
        make(
            "revoke_key",
            "/v1/publishers/{name}/keys/{hint}/revoke",
            &[],
            &[json::<Publisher>()],
            "Revoke a publisher's key; bundles that it signed stop serving at once, for good",
        )
        .to(publishers::revoke_key),
    ]
}

fn bundle_rows() -> Vec<Route> {
    vec![
        read(
            "bundles",
            "/v1/bundles",
            &[list::<BundleView>()],
            "Stored bundles, and the reasons why some are not served",
        )
        .query(TENANT)
        .to(bundles::list),
        make(
            "upload",
            "/v1/bundles",
            &[TAR],
            &[json::<Uploaded>(), STEPS],
            "Upload an archive; with accept: application/x-ndjson the reply reports each step",
        )
        .query(TENANT)
        .refuses(UPLOAD)
        .to(bundles::upload),
        delete("delete_bundle", "/v1/bundles/{digest}", NOTHING, "Delete a bundle's files")
            .query(TENANT)
            .to(bundles::remove),
        make(
            "revoke_bundle",
            "/v1/bundles/{digest}/revoke",
            &[json::<Reason>()],
            NOTHING,
            "Revoke a bundle's contents in every tenant; they stop serving at once and cannot be uploaded again",
        )
        .to(bundles::revoke),
    ]
}

fn tenant_rows() -> Vec<Route> {
    vec![
        read("tenants", "/v1/tenants", &[list::<TenantView>()], "Tenants and their limits").to(tenants::list),
        make("create_tenant", "/v1/tenants", &[json::<NewTenant>()], TENANT_VIEW, "Create a tenant")
            .to(tenants::create),
        read("tenant", "/v1/tenants/{tenant}", TENANT_VIEW, "A tenant and its limits").to(tenants::show),
        delete("delete_tenant", "/v1/tenants/{tenant}", NOTHING, "Delete a tenant with its keys, models and bundles")
            .to(tenants::remove),
        act(
            HttpMethod::Patch,
            "set_limits",
            "/v1/tenants/{tenant}/limits",
            &[OBJECT],
            TENANT_VIEW,
            "Set limits, with the keys and units of the configuration; null restores the host's value",
        )
        .to(tenants::limits),
        make("disable_tenant", "/v1/tenants/{tenant}/disable", &[], TENANT_VIEW, "Refuse a tenant's keys from now on")
            .to(tenants::disable),
        make("enable_tenant", "/v1/tenants/{tenant}/enable", &[], TENANT_VIEW, "Accept a tenant's keys again")
            .to(tenants::enable),
        read("keys", "/v1/tenants/{tenant}/keys", &[list::<KeyView>()], "A tenant's keys, without their secrets")
            .to(tenants::keys),
        make(
            "create_key",
            "/v1/tenants/{tenant}/keys",
            &[json::<NewKey>()],
            &[json::<KeyView>()],
            "Create a key; only this reply contains it",
        )
        .to(tenants::create_key),
        delete("revoke_api_key", "/v1/tenants/{tenant}/keys/{id}", &[json::<KeyView>()], "Revoke a key at once")
            .to(tenants::revoke_key),
        read("usage", "/v1/usage", &[json::<UsageView>()], "Usage per tenant and model")
            .query(TENANT)
            .to(tenants::usage),
    ]
}

fn model_rows() -> Vec<Route> {
    vec![
        read("models", "/v1/models", &[list::<ModelView>()], "Models, their versions and how they are served")
            .query(TENANT)
            .to(models::list),
        read("model", "/v1/models/{model}", MODEL, "A model, its versions and how they are served")
            .query(TENANT)
            .to(models::show),
        put(
            "label",
            "/v1/models/{model}/labels/{label}",
            &[json::<Labelled>()],
            MODEL,
            "Set a label; requests without a version go to the one labelled stable",
        )
        .query(TENANT)
        .to(models::label),
        delete("unlabel", "/v1/models/{model}/labels/{label}", MODEL, "Remove a label")
            .query(TENANT)
            .to(models::unlabel),
        put("split", "/v1/models/{model}/split", &[json::<Split>()], MODEL, "Divide requests by weight")
            .query(TENANT)
            .to(models::split),
        delete("unsplit", "/v1/models/{model}/split", MODEL, "End a split").query(TENANT).to(models::unsplit),
        put("shadow", "/v1/models/{model}/shadow", &[json::<Shadow>()], MODEL, "Send a version copies of requests")
            .query(TENANT)
            .to(models::shadow),
        delete("unshadow", "/v1/models/{model}/shadow", MODEL, "End a shadow").query(TENANT).to(models::unshadow),
        put("policy", "/v1/models/{model}/policy", &[json::<Policy>()], MODEL, "Set which versions are active")
            .query(TENANT)
            .to(models::policy),
        put("share", "/v1/models/{model}/sharing", &[json::<Sharing>()], MODEL, "Set which other tenants may call it")
            .query(TENANT)
            .to(models::share),
        make(
            "rollback",
            "/v1/models/{model}/rollback",
            &[],
            MODEL,
            "Go back to the version that served before, in one step",
        )
        .query(TENANT)
        .to(models::rollback),
        make("retire", "/v1/models/{model}/versions/{version}/retire", &[], MODEL, "Take a version out of service")
            .query(TENANT)
            .to(models::retire),
        make(
            "activate",
            "/v1/models/{model}/versions/{version}/activate",
            &[],
            MODEL,
            "Put a version back into service",
        )
        .query(TENANT)
        .to(models::activate),
    ]
}

fn audit_rows() -> Vec<Route> {
    vec![
        read("audit", "/v1/audit", &[list::<AuditLine>()], "Administrative acts, oldest first")
            .query(PAGE)
            .to(audit::list),
        read("verify_audit", "/v1/audit/verify", &[json::<AuditVerified>()], "Verify that the audit log is whole")
            .query(NOTED)
            .refuses(&[400, 401, 403, 409, 500])
            .to(audit::verify),
    ]
}

fn host_rows() -> Vec<Route> {
    let mut rows = vec![
        get("live", Scope::Server, "/v2/health/live", &[json::<ServerLive>()], &[], "Check that the host runs")
            .to(server_live),
        get(
            "metrics",
            Scope::Server,
            "/metrics",
            &[bytes("text/plain")],
            &[401, 403, 500],
            "Counters and histograms, for Prometheus",
        )
        .to(metrics::metrics),
        get("log_settings", Scope::Server, "/v2/logging", &[json::<LogSettings>()], &[401, 403], "Log settings")
            .to(settings::logging),
        make("change_log", "/v2/logging", &[json::<LogChanges>()], &[json::<LogSettings>()], "Change log settings")
            .to(settings::logging),
        get(
            "trace_settings",
            Scope::Server,
            "/v2/trace/setting",
            &[json::<TraceSettings>()],
            &[401, 403],
            "Trace settings; tracing is always off",
        )
        .to(settings::trace),
        make(
            "change_trace",
            "/v2/trace/setting",
            &[OBJECT],
            &[json::<TraceSettings>()],
            "Accepts settings that leave tracing off, and refuses all others",
        )
        .to(settings::trace),
    ];
    rows.extend(documents());
    rows
}
