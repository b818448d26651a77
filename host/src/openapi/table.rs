//! What a row of the tables of operations can say.

use utoipa::openapi::path::HttpMethod;

/// Operations that belong together.
pub struct Section {
    pub name: &'static str,
    pub about: &'static str,
    pub operations: &'static [Operation],
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
    /// What stands after the question mark, all of it optional.
    pub query: &'static [Query],
    pub gives: &'static [Payload],
    /// With 401 among them it is an operation that wants to know who calls.
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
    /// The same at TensorFlow Serving's addresses, where a label has an address of its own.
    Tensorflow,
}

impl Scope {
    /// How its addresses begin.
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

/// A body: its content type, and what it is.
pub struct Payload {
    pub kind: &'static str,
    pub form: PayloadForm,
}

#[derive(Clone, Copy)]
pub enum PayloadForm {
    /// Bytes of which the content type says all.
    Bytes,
    /// JSON of one of the schemas.
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

/// Any object.
pub const OBJECT: Payload = in_json(PayloadForm::Object);

/// What an act gives that has nothing to tell.
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
    /// Any names, and what is said for them.
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
