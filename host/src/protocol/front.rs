//! The page at `/` of the clients' port: what this is, which protocols are where, and how a model is called. Browsers get
//! HTML, and programs JSON.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde_json::json;

use crate::openapi::{front_reply, page};

const ABOUT: &str = "Bulkhead serves models: signed bundles of WebAssembly plugins and ONNX graphs.";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is served: for each protocol its addresses.
const PROTOCOLS: [(&str, &str); 3] = [
    ("Open Inference Protocol (KServe v2, Triton), over HTTP", "/v2/models/MODEL/infer"),
    ("TensorFlow Serving, over HTTP", "/v1/models/MODEL:predict"),
    ("both over gRPC, with reflection and health checks", "the port that listen.grpc names, 8001 by default"),
];

/// How models are found and called, as commands.
const COMMANDS: [(&str, &str); 4] = [
    ("is the host ready?", "GET /v2/health/ready"),
    ("which models are there?", "POST /v2/repository/index"),
    ("what does a model take?", "GET /v2/models/MODEL"),
    ("call a model", "POST /v2/models/MODEL/infer"),
];

const EXAMPLE: &str =
    "{\"inputs\": [{\"name\": \"INPUT\", \"datatype\": \"FP32\", \"shape\": [3], \"data\": [1, 2.5, -3]}]}";

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let object = json!({
        "name": "bulkhead",
        "version": VERSION,
        "about": ABOUT,
        "protocols": PROTOCOLS.iter().map(|(name, place)| json!({ "name": name, "at": place })).collect::<Vec<_>>(),
        "requests": COMMANDS.iter().map(|(what, request)| json!({ "to": what, "send": request })).collect::<Vec<_>>(),
        "key": "authorization: Bearer KEY",
        "docs": "/docs",
        "openapi": "/openapi.json",
    });
    format!("{object:#}\n")
});

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let mut page = page::HEAD.to_owned();
    let _ = write!(page, "<title>Bulkhead</title><h1>Bulkhead <small>{VERSION}</small></h1><p>{ABOUT}</p>");
    page.push_str("<h2>Protocols</h2><table>");
    for (name, place) in PROTOCOLS {
        let _ = write!(page, "<tr><td>{name}</td><td><code>{place}</code></td></tr>");
    }
    page.push_str("</table><h2>Requests</h2><table>");
    for (what, request) in COMMANDS {
        let _ = write!(page, "<tr><td>{what}</td><td><code>{request}</code></td></tr>");
    }
    let _ = write!(page, "</table><p>The body of a call: <code>{EXAMPLE}</code></p>");
    page.push_str(
        "<p>A key is sent as <code>authorization: Bearer KEY</code>. All addresses: <a href=\"/docs\">/docs</a>; for \
         programs: <a href=\"/openapi.json\">/openapi.json</a>.</p>",
    );
    page
});

pub(super) async fn page(headers: HeaderMap) -> Response<Body> {
    front_reply(&headers, &TEXT, &PAGE)
}
