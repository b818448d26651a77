//! The OpenAPI document of the operator's port: its operations, their schemas and their error statuses.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Response;
use utoipa::openapi::path::HttpMethod;

use super::wire::audit::{AuditLine, AuditVerified};
use super::wire::bundles::{BundleView, Reason, Uploaded};
use super::wire::models::{Labelled, ModelView, Policy, Shadow, Sharing, Split};
use super::wire::publishers::{Publisher, TrustRequest};
use super::wire::tenants::{KeyView, NewKey, NewTenant, TenantView, UsageView};
use crate::error::ErrorReply;
use crate::openapi::document::About;
use crate::openapi::table::{
    NULL, OBJECT, Operation, Payload, Query, QueryKind, Scope, Section, bytes, get, json, list, map, post,
};
use crate::openapi::{NamedSchema, collect, html, page, static_text, text};
use crate::protocol::oip::extensions::settings::{LogChanges, LogSettings, TraceSettings};
use crate::protocol::oip::types::ServerLive;

static OPERATORS: LazyLock<String> = LazyLock::new(|| {
    let about = About {
        title: "Bulkhead, the operator's port",
        text: "Publishers, bundles, tenants, models, the audit log. This port requires the admin token, or a key with the role deploy or admin.",
        anonymous: false,
    };
    text(&about, SCHEMAS.as_slice(), SECTIONS)
});

static OPERATORS_PAGE: LazyLock<String> = LazyLock::new(|| page::render(&OPERATORS));

/// `/openapi.json` at the operator's port.
pub(crate) async fn for_operators() -> Response<Body> {
    static_text(&OPERATORS, "application/json")
}

/// `/docs` at the operator's port: the same document as a page.
pub(crate) async fn page_for_operators() -> Response<Body> {
    html(&OPERATORS_PAGE)
}

pub(super) const SCHEMAS: [fn(&mut Vec<NamedSchema>); 23] = [
    collect::<ErrorReply>,
    collect::<Publisher>,
    collect::<TrustRequest>,
    collect::<BundleView>,
    collect::<Reason>,
    collect::<Uploaded>,
    collect::<TenantView>,
    collect::<NewTenant>,
    collect::<KeyView>,
    collect::<NewKey>,
    collect::<UsageView>,
    collect::<ModelView>,
    collect::<Labelled>,
    collect::<Split>,
    collect::<Shadow>,
    collect::<Policy>,
    collect::<Sharing>,
    collect::<AuditLine>,
    collect::<AuditVerified>,
    collect::<ServerLive>,
    collect::<LogSettings>,
    collect::<LogChanges>,
    collect::<TraceSettings>,
];

const TAR: Payload = bytes("application/x-tar");

const STEPS: Payload = bytes("application/x-ndjson");

const TENANT: &[Query] = &[Query { name: "tenant", kind: QueryKind::Text }];

const PAGE: &[Query] =
    &[Query { name: "after", kind: QueryKind::Number }, Query { name: "limit", kind: QueryKind::Number }];

/// Error statuses of an operation that only reads.
const ASK: &[u16] = &[400, 401, 403, 404];

/// Error statuses of an operation that changes something.
const ACT: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 415, 500, 503, 507];

const fn put(
    id: &'static str,
    path: &'static str,
    takes: &'static [Payload],
    gives: &'static [Payload],
    summary: &'static str,
) -> Operation {
    act(HttpMethod::Put, id, path, takes, gives, summary)
}

const fn delete(id: &'static str, path: &'static str, gives: &'static [Payload], summary: &'static str) -> Operation {
    act(HttpMethod::Delete, id, path, &[], gives, summary)
}

const fn act(
    method: HttpMethod,
    id: &'static str,
    path: &'static str,
    takes: &'static [Payload],
    gives: &'static [Payload],
    summary: &'static str,
) -> Operation {
    Operation { method, ..post(id, Scope::Server, path, takes, gives, ACT, summary) }
}

/// Adds the query `?tenant=` to an operation on something that a tenant owns.
const fn of_tenant(operation: Operation) -> Operation {
    Operation { query: TENANT, ..operation }
}

const MODEL: &[Payload] = &[json("ModelView")];
const TENANT_VIEW: &[Payload] = &[json("TenantView")];
const NOTHING: &[Payload] = &[NULL];

const fn read(id: &'static str, path: &'static str, gives: &'static [Payload], summary: &'static str) -> Operation {
    get(id, Scope::Server, path, gives, ASK, summary)
}

const fn make(
    id: &'static str,
    path: &'static str,
    takes: &'static [Payload],
    gives: &'static [Payload],
    summary: &'static str,
) -> Operation {
    act(HttpMethod::Post, id, path, takes, gives, summary)
}

pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "Publishers",
        about: "Publishers whose signatures are accepted, for which names and imports",
        operations: PUBLISHERS,
    },
    Section { name: "Bundles", about: "Upload, list, delete and revoke bundles", operations: BUNDLES },
    Section { name: "Tenants", about: "Tenants, their limits and keys, and their usage", operations: TENANTS },
    Section {
        name: "Models",
        about: "Versions that are served, and tenants that may call them",
        operations: OF_MODELS,
    },
    Section { name: "Audit", about: "The log of administrative acts", operations: AUDIT },
    Section { name: "Host", about: "Health, metrics and log settings", operations: HOST },
];

const PUBLISHERS: &[Operation] = &[
    read("publishers", "/v1/publishers", &[map("Publisher")], "Publishers by name: keys, names, imports"),
    put(
        "trust",
        "/v1/publishers/{name}",
        &[json("TrustRequest")],
        &[json("Publisher")],
        "Trust a publisher, or change its names and imports",
    ),
    delete("distrust", "/v1/publishers/{name}", NOTHING, "Remove a publisher; its bundles stop serving at once"),
    make(
        "revoke_key",
        "/v1/publishers/{name}/keys/{hint}/revoke",
        &[],
        &[json("Publisher")],
        "Revoke a publisher's key; bundles that it signed stop serving at once, for good",
    ),
];

const BUNDLES: &[Operation] = &[
    of_tenant(read(
        "bundles",
        "/v1/bundles",
        &[list("BundleView")],
        "Stored bundles, and the reasons why some are not served",
    )),
    Operation {
        refuses: &[400, 401, 403, 404, 408, 409, 413, 422, 500, 503, 507],
        ..of_tenant(make(
            "upload",
            "/v1/bundles",
            &[TAR],
            &[json("Uploaded"), STEPS],
            "Upload an archive; with accept: application/x-ndjson the reply reports each step",
        ))
    },
    of_tenant(delete("delete_bundle", "/v1/bundles/{digest}", NOTHING, "Delete a bundle's files")),
    make(
        "revoke_bundle",
        "/v1/bundles/{digest}/revoke",
        &[json("Reason")],
        NOTHING,
        "Revoke a bundle's contents in every tenant; they stop serving at once and cannot be uploaded again",
    ),
];

const TENANTS: &[Operation] = &[
    read("tenants", "/v1/tenants", &[list("TenantView")], "Tenants and their limits"),
    make("create_tenant", "/v1/tenants", &[json("NewTenant")], TENANT_VIEW, "Create a tenant"),
    read("tenant", "/v1/tenants/{tenant}", TENANT_VIEW, "A tenant and its limits"),
    delete("delete_tenant", "/v1/tenants/{tenant}", NOTHING, "Delete a tenant with its keys, models and bundles"),
    act(
        HttpMethod::Patch,
        "set_limits",
        "/v1/tenants/{tenant}/limits",
        &[OBJECT],
        TENANT_VIEW,
        "Set limits, with the keys and units of the configuration; null restores the host's value",
    ),
    make("disable_tenant", "/v1/tenants/{tenant}/disable", &[], TENANT_VIEW, "Refuse a tenant's keys from now on"),
    make("enable_tenant", "/v1/tenants/{tenant}/enable", &[], TENANT_VIEW, "Accept a tenant's keys again"),
    read("keys", "/v1/tenants/{tenant}/keys", &[list("KeyView")], "A tenant's keys, without their secrets"),
    make(
        "create_key",
        "/v1/tenants/{tenant}/keys",
        &[json("NewKey")],
        &[json("KeyView")],
        "Create a key; only this reply contains it",
    ),
    delete("revoke_api_key", "/v1/tenants/{tenant}/keys/{id}", &[json("KeyView")], "Revoke a key at once"),
    of_tenant(read("usage", "/v1/usage", &[json("UsageView")], "Usage per tenant and model")),
];

const OF_MODELS: &[Operation] = &[
    of_tenant(read("models", "/v1/models", &[list("ModelView")], "Models, their versions and how they are served")),
    of_tenant(read("model", "/v1/models/{model}", MODEL, "A model, its versions and how they are served")),
    of_tenant(put(
        "label",
        "/v1/models/{model}/labels/{label}",
        &[json("Labelled")],
        MODEL,
        "Set a label; requests without a version go to the one labelled stable",
    )),
    of_tenant(delete("unlabel", "/v1/models/{model}/labels/{label}", MODEL, "Remove a label")),
    of_tenant(put("split", "/v1/models/{model}/split", &[json("Split")], MODEL, "Divide requests by weight")),
    of_tenant(delete("unsplit", "/v1/models/{model}/split", MODEL, "End a split")),
    of_tenant(put(
        "shadow",
        "/v1/models/{model}/shadow",
        &[json("Shadow")],
        MODEL,
        "Send a version copies of requests",
    )),
    of_tenant(delete("unshadow", "/v1/models/{model}/shadow", MODEL, "End a shadow")),
    of_tenant(put("policy", "/v1/models/{model}/policy", &[json("Policy")], MODEL, "Set which versions are active")),
    of_tenant(put(
        "share",
        "/v1/models/{model}/sharing",
        &[json("Sharing")],
        MODEL,
        "Set which other tenants may call it",
    )),
    of_tenant(make(
        "rollback",
        "/v1/models/{model}/rollback",
        &[],
        MODEL,
        "Go back to the version that served before, in one step",
    )),
    of_tenant(make(
        "retire",
        "/v1/models/{model}/versions/{version}/retire",
        &[],
        MODEL,
        "Take a version out of service",
    )),
    of_tenant(make(
        "activate",
        "/v1/models/{model}/versions/{version}/activate",
        &[],
        MODEL,
        "Put a version back into service",
    )),
];

const AUDIT: &[Operation] = &[
    Operation { query: PAGE, ..read("audit", "/v1/audit", &[list("AuditLine")], "Administrative acts, oldest first") },
    Operation {
        query: &[Query { name: "noted", kind: QueryKind::Text }],
        refuses: &[400, 401, 403, 409, 500],
        ..read("verify_audit", "/v1/audit/verify", &[json("AuditVerified")], "Verify that the audit log is whole")
    },
];

const HOST: &[Operation] = &[
    get("live", Scope::Server, "/v2/health/live", &[json("ServerLive")], &[], "Check that the host runs"),
    get(
        "metrics",
        Scope::Server,
        "/metrics",
        &[bytes("text/plain")],
        &[401, 403, 500],
        "Counters and histograms, for Prometheus",
    ),
    get("log_settings", Scope::Server, "/v2/logging", &[json("LogSettings")], &[401, 403], "Log settings"),
    make("change_log", "/v2/logging", &[json("LogChanges")], &[json("LogSettings")], "Change log settings"),
    get(
        "trace_settings",
        Scope::Server,
        "/v2/trace/setting",
        &[json("TraceSettings")],
        &[401, 403],
        "Trace settings; tracing is always off",
    ),
    make(
        "change_trace",
        "/v2/trace/setting",
        &[OBJECT],
        &[json("TraceSettings")],
        "Accepts settings that leave tracing off, and refuses all others",
    ),
    get("document", Scope::Server, "/openapi.json", &[OBJECT], &[], "This document"),
    get("docs", Scope::Server, "/docs", &[bytes("text/html")], &[], "This document as a page to read"),
];
