//! OpenAPI documents of the REST API, one for each port, made from tables of operations and the schemas of the wire types.
//! A test compares them with golden files, so that no change of the API goes unnoticed.

pub mod document;
pub mod page;
pub mod table;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use document::About;
use table::Section;

pub(crate) fn html(page: &'static str) -> Response<Body> {
    let mut response = static_text(page, "text/html; charset=utf-8");
    // The page needs neither scripts nor anything from elsewhere.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

pub(crate) fn static_text(text: &'static str, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A schema and its name.
pub(crate) type NamedSchema = (String, RefOr<Schema>);

/// Adds the schema of a type, and those of the types that it refers to.
pub(crate) fn collect<T: ToSchema>(schemas: &mut Vec<NamedSchema>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

type Collect = fn(&mut Vec<NamedSchema>);

pub(crate) fn text(about: &About, collects: &[Collect], sections: &[Section]) -> String {
    let mut schemas = Vec::new();
    for collect in collects {
        collect(&mut schemas);
    }
    document::document(about, schemas, sections).to_pretty_json().unwrap_or_default()
}
