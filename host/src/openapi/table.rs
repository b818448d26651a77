//! The tables of operations: the types and constructors of their rows.

use utoipa::openapi::path::HttpMethod;

/// A group of operations, which becomes a tag of the document.
pub struct Section {
    pub name: &'static str,
    pub about: &'static str,
    pub operations: &'static [Operation],
}

/// An operation, a row of the table.
pub struct Operation {
    pub id: &'static str,
    pub method: HttpMethod,
    pub scope: Scope,
    /// The part of the path after the scope's address.
    pub path: &'static str,
    pub summary: &'static str,
    pub takes: &'static [Payload],
    /// Parameters of the query, all of them optional.
    pub query: &'static [Query],
    pub gives: &'static [Payload],
    /// Statuses of its error replies. An operation with 401 among them authenticates the caller.
    pub refuses: &'static [u16],
    /// The schema of the reply with 503, where that status is a regular reply and not an error.
    pub unready: Option<&'static str>,
}

/// The object that an operation belongs to, which determines how its address begins.
pub enum Scope {
    Server,
    Repository,
    Model,
    /// A model, or one version of it.
    Version,
    /// A model or one version of it at TensorFlow Serving's addresses, where a label has an address of its own.
    Tensorflow,
}

impl Scope {
    /// The beginnings of its addresses.
    pub fn addresses(&self) -> &'static [&'static str] {
        match self {
            Scope::Server => &[""],
            Scope::Repository => &["/v2/repository/models/{model}"],
            Scope::Model => &["/v2/models/{model}"],
            Scope::Version => &["/v2/models/{model}", "/v2/models/{model}/versions/{version}"],
            Scope::Tensorflow => {
                &["/v1/models/{model}", "/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{label}"]
            }
        }
    }
}

/// A body: its content type and its form.
pub struct Payload {
    pub kind: &'static str,
    pub form: PayloadForm,
}

#[derive(Clone, Copy)]
pub enum PayloadForm {
    /// Bytes, described only by their content type.
    Bytes,
    /// JSON of the schema with this name.
    Of(&'static str),
    List(&'static str),
    Map(&'static str),
    Object,
    Null,
}

const fn in_json(form: PayloadForm) -> Payload {
    Payload { kind: "application/json", form }
}

pub const fn json(schema: &'static str) -> Payload {
    in_json(PayloadForm::Of(schema))
}

pub const fn list(schema: &'static str) -> Payload {
    in_json(PayloadForm::List(schema))
}

pub const fn map(schema: &'static str) -> Payload {
    in_json(PayloadForm::Map(schema))
}

/// Any JSON object.
pub const OBJECT: Payload = in_json(PayloadForm::Object);

/// `null`, the reply of an operation without a result.
pub const NULL: Payload = in_json(PayloadForm::Null);

pub const fn bytes(kind: &'static str) -> Payload {
    Payload { kind, form: PayloadForm::Bytes }
}

/// A parameter of the query.
pub struct Query {
    pub name: &'static str,
    pub kind: QueryKind,
}

#[derive(Clone, Copy)]
pub enum QueryKind {
    Text,
    Number,
    /// Any names with any values.
    Any,
}

pub const fn get(
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

pub const fn post(
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
