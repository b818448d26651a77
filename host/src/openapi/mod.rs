//! OpenAPI documents of the REST API, one for each port, made from tables of operations and the schemas of the wire types.
//! A test compares them with golden files, so that no change of the API goes unnoticed.

pub mod document;
pub mod page;
pub mod port;
pub mod table;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};

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

fn reply(text: impl Into<Bytes>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
