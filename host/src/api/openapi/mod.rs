//! The public REST surface as an OpenAPI document: a table of operations here, schemas from the wire types. A test
//! compares it with a golden file, so that a change of the surface is seen.

mod admin;
mod operations;
mod page;

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{
    ComponentsBuilder, Content, Info, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
};

static CLIENTS: LazyLock<String> = LazyLock::new(|| {
    let about = "The Open Inference Protocol over HTTP, with its extensions.";
    text(about, operations::SCHEMAS.as_slice(), operations::OPERATIONS)
});
static CLIENTS_PAGE: LazyLock<String> = LazyLock::new(|| page::render(&CLIENTS));
static OPERATORS: LazyLock<String> = LazyLock::new(|| {
    let about = "The operator's port: publishers, bundles, tenants, models, the audit log. It wants the admin token, or a key with the role deploy or admin.";
    text(about, admin::SCHEMAS.as_slice(), admin::OPERATIONS)
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

fn text(about: &str, schemas: &[Collect], operations: &[Operation]) -> String {
    document(about, schemas, operations).to_pretty_json().unwrap_or_default()
}

fn document(about: &str, collects: &[Collect], operations: &[Operation]) -> OpenApi {
    let mut schemas = Vec::new();
    for collect in collects {
        collect(&mut schemas);
    }
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).build();
    let mut paths = PathsBuilder::new();
    for operation in operations {
        for (path, parameters) in operation.paths() {
            let item = PathItem::new(operation.method.clone(), operation.describe(&parameters));
            paths = paths.path(path, item);
        }
    }
    let mut info = Info::new("Bulkhead", env!("CARGO_PKG_VERSION"));
    info.description = Some(about.into());
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

/// A row of the table.
pub struct Operation {
    pub id: &'static str,
    pub method: HttpMethod,
    pub scope: Scope,
    /// What follows the scope's path.
    pub path: &'static str,
    pub summary: &'static str,
    pub takes: &'static [Payload],
    /// Parameters after the question mark, all optional.
    pub query: &'static [&'static str],
    pub gives: &'static [Payload],
    pub refuses: &'static [u16],
    /// What 503 says where it is an answer and no refusal.
    pub unready: Option<&'static str>,
}

/// What an operation is about.
pub enum Scope {
    Server,
    Repository,
    Model,
    /// A model, or one version of it.
    Version,
}

/// A body: its content type, and the name of its schema where it is JSON; `[]` before it is a list of these.
pub struct Payload {
    pub kind: &'static str,
    pub schema: Option<&'static str>,
}

const fn json(schema: &'static str) -> Payload {
    Payload { kind: "application/json", schema: Some(schema) }
}

/// Any object.
const OBJECT: Payload = Payload { kind: "application/json", schema: None };

const fn get(
    id: &'static str,
    scope: Scope,
    path: &'static str,
    gives: &'static [Payload],
    refuses: &'static [u16],
    summary: &'static str,
) -> Operation {
    Operation {
        id,
        method: HttpMethod::Get,
        scope,
        path,
        summary,
        takes: &[],
        query: &[],
        gives,
        refuses,
        unready: None,
    }
}

const fn post(
    id: &'static str,
    scope: Scope,
    path: &'static str,
    takes: &'static [Payload],
    gives: &'static [Payload],
    refuses: &'static [u16],
    summary: &'static str,
) -> Operation {
    Operation { id, method: HttpMethod::Post, scope, path, summary, takes, query: &[], gives, refuses, unready: None }
}

impl Operation {
    /// Where it is served, and the parameters in that path.
    fn paths(&self) -> Vec<(String, Vec<&'static str>)> {
        match self.scope {
            Scope::Server => vec![(self.path.to_owned(), in_braces(self.path))],
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
            described = described.parameter(parameter_of(parameter, ParameterIn::Path, Required::True));
        }
        for parameter in self.query {
            described = described.parameter(parameter_of(parameter, ParameterIn::Query, Required::False));
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

/// The parameters of a path.
fn in_braces(path: &'static str) -> Vec<&'static str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

fn parameter_of(name: &str, place: ParameterIn, required: Required) -> ParameterBuilder {
    let text = Object::with_type(Type::String);
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(text))
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
