//! The tables of operations: the types and constructors of their rows.

use std::borrow::Cow;

use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::{RefOr, Schema};

/// A group of operations, which becomes a tag of the document.
pub struct Section {
    pub name: &'static str,
    pub about: &'static str,
    pub operations: Vec<Operation>,
}

/// An operation, a row of the table.
pub struct Operation {
    pub id: &'static str,
    pub method: HttpMethod,
    pub scope: Scope,
    /// The part of the path after the scope's address.
    pub path: &'static str,
    pub summary: &'static str,
    pub takes: Vec<Payload>,
    /// Parameters of the query, all of them optional.
    pub query: &'static [Query],
    pub gives: Vec<Payload>,
    /// Statuses of its error replies. An operation with 401 among them authenticates the caller.
    pub refuses: &'static [u16],
    /// The body of the reply with 503, where that status is a regular reply and not an error.
    pub unready: Option<Payload>,
}

/// The object that an operation belongs to, which determines how its address begins.
#[derive(Clone, Copy)]
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

impl Operation {
    pub fn query(self, query: &'static [Query]) -> Operation {
        Operation { query, ..self }
    }

    pub fn refuses(self, refuses: &'static [u16]) -> Operation {
        Operation { refuses, ..self }
    }

    /// The addresses of the operation, with its parameters in braces.
    pub(super) fn addresses(&self) -> impl Iterator<Item = String> {
        self.scope.addresses().iter().map(|begin| format!("{begin}{}", self.path))
    }
}

/// A schema and its name.
pub(super) type NamedSchema = (String, RefOr<Schema>);

/// The schema of a wire type.
#[derive(Clone, Copy)]
pub struct WireSchema {
    pub(super) name: fn() -> Cow<'static, str>,
    /// Adds the schema, and those that it refers to.
    pub(super) collect: fn(&mut Vec<NamedSchema>),
}

impl WireSchema {
    const fn of<T: ToSchema>() -> WireSchema {
        WireSchema { name: T::name, collect: collect::<T> }
    }
}

fn collect<T: ToSchema>(schemas: &mut Vec<NamedSchema>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

/// A body: its content type and its form.
#[derive(Clone, Copy)]
pub struct Payload {
    pub kind: &'static str,
    pub form: PayloadForm,
}

#[derive(Clone, Copy)]
pub enum PayloadForm {
    /// Bytes, described only by their content type.
    Bytes,
    /// JSON of a wire type.
    Of(WireSchema),
    List(WireSchema),
    /// Values of a wire type by name.
    Map(WireSchema),
    Object,
    Null,
}

const fn in_json(form: PayloadForm) -> Payload {
    Payload { kind: "application/json", form }
}

pub const fn json<T: ToSchema>() -> Payload {
    in_json(PayloadForm::Of(WireSchema::of::<T>()))
}

pub const fn list<T: ToSchema>() -> Payload {
    in_json(PayloadForm::List(WireSchema::of::<T>()))
}

pub const fn map<T: ToSchema>() -> Payload {
    in_json(PayloadForm::Map(WireSchema::of::<T>()))
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

pub fn get(
    id: &'static str,
    scope: Scope,
    path: &'static str,
    gives: &[Payload],
    refuses: &'static [u16],
    summary: &'static str,
) -> Operation {
    Operation { method: HttpMethod::Get, ..post(id, scope, path, &[], gives, refuses, summary) }
}

pub fn post(
    id: &'static str,
    scope: Scope,
    path: &'static str,
    takes: &[Payload],
    gives: &[Payload],
    refuses: &'static [u16],
    summary: &'static str,
) -> Operation {
    let (takes, gives) = (takes.to_vec(), gives.to_vec());
    Operation { id, method: HttpMethod::Post, scope, path, summary, takes, query: &[], gives, refuses, unready: None }
}
