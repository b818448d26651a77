//! The page at `/` of the operator's port: what this is, and where the rest is. Browsers get HTML, and programs JSON. It needs
//! no token, as the document needs none.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde_json::json;

use crate::openapi::{front_reply, page};

const ABOUT: &str = "The operator's port of Bulkhead: publishers, bundles, tenants, models and the audit log. Models are \
                     called at other ports (listen.http, listen.grpc).";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The addresses that answer without a token, and the one that is scraped.
const ADDRESSES: [(&str, &str); 4] = [
    ("is the host alive?", "GET /v2/health/live"),
    ("metrics, with the admin token", "GET /metrics"),
    ("all addresses, to read", "GET /docs"),
    ("all addresses, for programs", "GET /openapi.json"),
];

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let object = json!({
        "name": "bulkhead",
        "version": VERSION,
        "about": ABOUT,
        "requests": ADDRESSES.map(|(what, request)| json!({ "to": what, "send": request })),
        "token": "authorization: Bearer TOKEN",
        "docs": "/docs",
        "openapi": "/openapi.json",
    });
    format!("{object:#}\n")
});

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let mut page = page::HEAD.to_owned();
    let _ = write!(page, "<title>Bulkhead</title><h1>Bulkhead <small>{VERSION}</small></h1><p>{ABOUT}</p><table>");
    for (what, request) in ADDRESSES {
        let _ = write!(page, "<tr><td>{what}</td><td><code>{request}</code></td></tr>");
    }
    page.push_str(
        "</table><p>The token, or a key with the role deploy or admin, is sent as <code>authorization: Bearer \
         TOKEN</code>. See <a href=\"/docs\">/docs</a>.</p>",
    );
    page
});

pub(super) async fn page(headers: HeaderMap) -> Response<Body> {
    front_reply(&headers, &TEXT, &PAGE)
}
