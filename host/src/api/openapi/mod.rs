//! The public REST surface as an OpenAPI document: a table of operations here, schemas from the wire types. A test
//! compares it with a golden file, so that a change of the surface is seen.

mod operations;
mod page;

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{
    ComponentsBuilder, Content, Info, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
};

use operations::{OPERATIONS, Operation, Payload, SCHEMAS, Scope};

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(document);
static JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_pretty_json().unwrap_or_default());
static PAGE: LazyLock<String> = LazyLock::new(|| page::render(&JSON));

/// `/openapi.json`
pub(super) async fn json() -> Response<Body> {
    static_text(&JSON, "application/json")
}

/// `/docs`, for people.
pub(super) async fn page() -> Response<Body> {
    let mut response = static_text(&PAGE, "text/html; charset=utf-8");
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

fn document() -> OpenApi {
    let mut schemas = Vec::new();
    for collect in SCHEMAS {
        collect(&mut schemas);
    }
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).build();
    let mut paths = PathsBuilder::new();
    for operation in OPERATIONS {
        for (path, parameters) in operation.paths() {
            let item = PathItem::new(operation.method.clone(), operation.describe(&parameters));
            paths = paths.path(path, item);
        }
    }
    let mut info = Info::new("Bulkhead", env!("CARGO_PKG_VERSION"));
    info.description = Some("The Open Inference Protocol over HTTP, with its extensions.".into());
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

impl Operation {
    /// Where it is served, and the parameters in that path.
    fn paths(&self) -> Vec<(String, Vec<&'static str>)> {
        match self.scope {
            Scope::Server => vec![(self.path.to_owned(), vec![])],
            Scope::Repository => vec![(format!("/v2/repository/models/{{model}}{}", self.path), vec!["model"])],
            Scope::Model => vec![(format!("/v2/models/{{model}}{}", self.path), vec!["model"])],
            Scope::Version => vec![
                (format!("/v2/models/{{model}}{}", self.path), vec!["model"]),
                (format!("/v2/models/{{model}}/versions/{{version}}{}", self.path), vec!["model", "version"]),
            ],
        }
    }

    fn describe(&self, parameters: &[&str]) -> OperationBuilder {
        let of = if parameters.contains(&"version") { "_of_version" } else { "" };
        let mut described = OperationBuilder::new();
        described = described.operation_id(Some(format!("{}{of}", self.id))).summary(Some(self.summary));
        for parameter in parameters {
            described = described.parameter(path_parameter(parameter));
        }
        if !self.takes.is_empty() {
            let body = RequestBodyBuilder::new().required(Some(Required::False));
            let body = self.takes.iter().fold(body, |body, payload| body.content(payload.kind, payload.content()));
            described = described.request_body(Some(body.build()));
        }
        let answer = ResponseBuilder::new().description("The answer");
        let answer = self.gives.iter().fold(answer, |answer, payload| answer.content(payload.kind, payload.content()));
        described = described.response("200", answer);
        for status in self.refuses {
            described = described.response(status.to_string(), refusal(*status, self.unready));
        }
        described
    }
}

fn path_parameter(name: &str) -> ParameterBuilder {
    let text = Object::with_type(Type::String);
    ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True).schema(Some(text))
}

/// The reasons are in the table of `docs/status-codes.md`; the body has the code.
fn refusal(status: u16, unready: Option<&str>) -> ResponseBuilder {
    let reason = axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let response = ResponseBuilder::new().description(reason.unwrap_or("Refused"));
    match unready {
        Some(schema) if status == 503 => response.content("application/json", content(schema)),
        _ => response.content("application/json", content("Error")),
    }
}

impl Payload {
    fn content(&self) -> Content {
        self.schema.map_or_else(|| Content::new(None::<Ref>), content)
    }
}

fn content(schema: &str) -> Content {
    match schema.strip_prefix("[]") {
        Some(item) => Content::new(Some(utoipa::openapi::Array::new(Ref::from_schema_name(item)))),
        None => Content::new(Some(Ref::from_schema_name(schema))),
    }
}
