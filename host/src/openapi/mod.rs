//! OpenAPI documents of the REST API, one for each port, made from tables of operations and the schemas of the wire types.
//! A test compares them with golden files, so that no change of the API goes unnoticed.

pub mod document;
pub mod page;
pub mod port;
pub mod table;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};

/// The reply with a document.
pub(crate) fn json_reply(document: impl Into<Bytes>) -> Response<Body> {
    reply(document, "application/json")
}

/// The reply with a document's page.
pub(crate) fn html_reply(page: impl Into<Bytes>) -> Response<Body> {
    let mut response = reply(page, "text/html; charset=utf-8");
    // The page needs neither scripts nor anything from elsewhere.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// The reply with the page at `/` of a port: HTML for browsers, and JSON for programs.
pub(crate) fn front_reply(asked: &HeaderMap, json: &'static str, html: &'static str) -> Response<Body> {
    let mut accepted = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_html = accepted.any(|value| value.contains("text/html"));
    let mut reply = if wants_html { html_reply(html) } else { json_reply(json) };
    reply.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    reply
}

fn reply(text: impl Into<Bytes>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
