//! The public REST surface as OpenAPI documents, one for each port: tables of operations here, schemas from the wire
//! types. A test compares them with golden files, so that a change of the surface is seen.

mod admin;
mod document;
mod operations;
mod page;
mod table;

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use document::About;
use table::Section;

static CLIENTS: LazyLock<String> = LazyLock::new(|| {
    let about = About {
        title: "Bulkhead",
        text: "The Open Inference Protocol over HTTP with its extensions, and TensorFlow Serving's addresses.",
        anonymous: true,
    };
    text(&about, operations::SCHEMAS.as_slice(), operations::SECTIONS)
});
static CLIENTS_PAGE: LazyLock<String> = LazyLock::new(|| page::render(&CLIENTS));
static OPERATORS: LazyLock<String> = LazyLock::new(|| {
    let about = About {
        title: "Bulkhead, the operator's port",
        text: "Publishers, bundles, tenants, models, the audit log. This port wants the admin token, or a key with the role deploy or admin.",
        anonymous: false,
    };
    text(&about, admin::SCHEMAS.as_slice(), admin::SECTIONS)
});
static OPERATORS_PAGE: LazyLock<String> = LazyLock::new(|| page::render(&OPERATORS));

/// `/openapi.json` at the clients' port.
pub(super) async fn for_clients() -> Response<Body> {
    static_text(&CLIENTS, "application/json")
}

/// `/docs` at the clients' port, for people.
pub(super) async fn page_for_clients() -> Response<Body> {
    html(&CLIENTS_PAGE)
}

/// `/openapi.json` at the operator's port.
pub(super) async fn for_operators() -> Response<Body> {
    static_text(&OPERATORS, "application/json")
}

/// `/docs` at the operator's port, for people.
pub(super) async fn page_for_operators() -> Response<Body> {
    html(&OPERATORS_PAGE)
}

fn html(page: &'static str) -> Response<Body> {
    let mut response = static_text(page, "text/html; charset=utf-8");
    // The page has no script, and fetches nothing.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn static_text(text: &'static str, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A name and what it stands for.
pub(super) type NamedSchema = (String, RefOr<Schema>);

/// A type, and those that it is made of.
fn collect<T: ToSchema>(schemas: &mut Vec<NamedSchema>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

type Collect = fn(&mut Vec<NamedSchema>);

fn text(about: &About, collects: &[Collect], sections: &[Section]) -> String {
    let mut schemas = Vec::new();
    for collect in collects {
        collect(&mut schemas);
    }
    document::document(about, schemas, sections).to_pretty_json().unwrap_or_default()
}
