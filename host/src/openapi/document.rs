//! The OpenAPI document of a port, made from its tables of operations.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle, Paths, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Array, Components, ComponentsBuilder, Content, Info, OpenApiBuilder, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema,
};

use super::table::{NamedSchema, Operation, Payload, PayloadForm, Query, QueryKind, Section, WireSchema, json};
use crate::error::ErrorReply;
use crate::http::binary_header::BINARY_HEADER;
use crate::http::request_id::REQUEST_ID;

/// The title and description of a port's document.
pub struct About {
    pub title: &'static str,
    pub text: &'static str,
    /// True if callers without a key can be allowed.
    pub anonymous: bool,
}

/// The document as JSON.
pub fn document(about: &About, sections: &[Section]) -> String {
    let tag = |section: &Section| TagBuilder::new().name(section.name).description(Some(section.about)).build();
    let mut info = Info::new(about.title, env!("CARGO_PKG_VERSION"));
    info.description = Some(about.text.into());
    OpenApiBuilder::new()
        .info(info)
        .paths(paths(about, sections))
        .components(Some(components(sections)))
        .tags(Some(sections.iter().map(tag)))
        .build()
        .to_pretty_json()
        .unwrap_or_default()
}

fn paths(about: &About, sections: &[Section]) -> Paths {
    let mut paths = PathsBuilder::new();
    for section in sections {
        for operation in &section.operations {
            for address in operation.addresses() {
                let described = operation.describe(about, section.name, &address);
                paths = paths.path(address, PathItem::new(operation.method.clone(), described));
            }
        }
    }
    paths.build()
}

/// The schemas, headers and error replies that operations refer to by name.
fn components(sections: &[Section]) -> Components {
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let mut components = ComponentsBuilder::new().schemas_from_iter(schemas(sections));
    components = components.security_scheme(KEY, SecurityScheme::Http(key));
    for (name, kind, about) in HEADERS {
        let schema = Some(Object::with_type(kind));
        components = components.header(name, HeaderBuilder::new().schema(schema).description(Some(about)).build());
    }
    let operations = sections.iter().flat_map(|section| &section.operations);
    let statuses: BTreeSet<u16> = operations.flat_map(|operation| operation.refuses).copied().collect();
    let refusals = statuses.into_iter().map(|status| (refusal_name(status), refusal(status)));
    components.responses_from_iter(refusals).build()
}

/// The schemas of all wire types that the operations take or give, and of the body of errors.
fn schemas(sections: &[Section]) -> Vec<NamedSchema> {
    let mut schemas = Vec::new();
    let operations = sections.iter().flat_map(|section| &section.operations);
    let payloads =
        operations.flat_map(|operation| operation.takes.iter().chain(&operation.gives).chain(&operation.unready));
    for payload in payloads.chain([&ERROR]) {
        if let PayloadForm::Of(of) | PayloadForm::List(of) | PayloadForm::Map(of) = payload.form {
            (of.collect)(&mut schemas);
        }
    }
    schemas
}

/// The body of every error reply.
const ERROR: Payload = json::<ErrorReply<'static>>();

const KEY: &str = "key";

/// Headers of replies, each with its type and description.
const HEADERS: [(&str, Type, &str); 4] = [
    (REQUEST_ID, Type::String, "The id of the request in the host's log: the client's own, if it sent a valid one"),
    (BINARY_HEADER, Type::Integer, "Length in bytes of the JSON, where binary tensors follow it"),
    ("retry-after", Type::Integer, "Seconds after which another try makes sense"),
    ("www-authenticate", Type::String, "Bearer"),
];

impl Operation {
    fn describe(&self, about: &About, section: &str, address: &str) -> OperationBuilder {
        let parameters = in_braces(address);
        let of = parameters.iter().find(|parameter| matches!(**parameter, "version" | "label"));
        let of = of.filter(|_| self.scope.addresses().len() > 1).map(|of| format!("_of_{of}")).unwrap_or_default();
        let mut described = OperationBuilder::new().tag(section).operation_id(Some(format!("{}{of}", self.id)));
        described = described.summary(Some(self.summary)).request_body(self.request_body());
        for name in parameters {
            described = described.parameter(in_path(name));
        }
        for parameter in self.query {
            described = described.parameter(parameter.describe());
        }
        if self.takes.iter().any(Payload::is_binary) {
            described = described.parameter(binary_header());
        }
        if self.refuses.contains(&401) {
            let anonymous = about.anonymous.then(SecurityRequirement::default);
            let key = SecurityRequirement::new(KEY, [""; 0]);
            described = described.securities(Some(anonymous.into_iter().chain([key])));
        }
        described = described.response("200", self.answer());
        for status in self.refuses {
            described = match self.unready {
                Some(payload) if *status == 503 => described.response("503", unready(payload)),
                _ => described.response(status.to_string(), Ref::from_response_name(refusal_name(*status))),
            };
        }
        described
    }

    fn request_body(&self) -> Option<RequestBody> {
        let empty = RequestBodyBuilder::new().required(Some(Required::False));
        let body = self.takes.iter().fold(empty, |body, payload| body.content(payload.kind, payload.content()));
        (!self.takes.is_empty()).then(|| body.build())
    }

    fn answer(&self) -> Response {
        let mut answer = ResponseBuilder::new().description("The reply").header_ref(REQUEST_ID, header(REQUEST_ID));
        if self.gives.iter().any(Payload::is_binary) {
            answer = answer.header_ref(BINARY_HEADER, header(BINARY_HEADER));
        }
        self.gives.iter().fold(answer, |answer, payload| answer.content(payload.kind, payload.content())).build()
    }
}

/// The names of the parameters in a path.
fn in_braces(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

fn in_path(name: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter.schema(Some(text.build())).build()
}

impl Query {
    fn describe(&self) -> Parameter {
        let parameter = ParameterBuilder::new().name(self.name).parameter_in(ParameterIn::Query);
        let parameter = parameter.required(Required::False);
        match self.kind {
            QueryKind::Text => parameter.schema(Some(Object::with_type(Type::String))),
            QueryKind::Number => parameter.schema(Some(whole_number())),
            QueryKind::Any => {
                let text = AdditionalProperties::RefOr(RefOr::T(Object::with_type(Type::String).into()));
                let any = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(text));
                let parameter = parameter.style(Some(ParameterStyle::Form)).explode(Some(true));
                parameter.schema(Some(any.build()))
            }
        }
        .build()
    }
}

fn binary_header() -> Parameter {
    let about =
        "Length in bytes of the JSON before the binary tensors; 0 if the body is only the bytes of a single tensor";
    let header = ParameterBuilder::new().name(BINARY_HEADER).parameter_in(ParameterIn::Header);
    header.required(Required::False).description(Some(about)).schema(Some(whole_number())).build()
}

fn whole_number() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build()
}

fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

fn refusal_name(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.unwrap_or("Refused").replace(' ', "")
}

/// The error reply of a status. Its body has the code; `docs/status-codes.md` lists the codes of each status.
fn refusal(status: u16) -> Response {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut response = ResponseBuilder::new().description(reason.unwrap_or("Refused"));
    response = response.header_ref(REQUEST_ID, header(REQUEST_ID));
    for (name, of) in [("www-authenticate", &[401][..]), ("retry-after", &[429, 503])] {
        if of.contains(&status) {
            response = response.header_ref(name, header(name));
        }
    }
    response.content(ERROR.kind, ERROR.content()).build()
}

fn unready(payload: Payload) -> Response {
    let response = ResponseBuilder::new().description("Not ready").header_ref(REQUEST_ID, header(REQUEST_ID));
    response.content(payload.kind, payload.content()).build()
}

impl Payload {
    fn is_binary(&self) -> bool {
        self.kind == "application/octet-stream"
    }

    fn content(&self) -> Content {
        Content::new(self.form.schema())
    }
}

impl WireSchema {
    fn reference(self) -> Ref {
        Ref::from_schema_name((self.name)())
    }
}

impl PayloadForm {
    fn schema(self) -> Option<RefOr<Schema>> {
        Some(match self {
            PayloadForm::Bytes => return None,
            PayloadForm::Of(of) => of.reference().into(),
            PayloadForm::List(of) => Array::new(of.reference()).into(),
            PayloadForm::Map(of) => {
                let values = AdditionalProperties::<Schema>::RefOr(of.reference().into());
                ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(values)).into()
            }
            PayloadForm::Object => Object::with_type(Type::Object).into(),
            PayloadForm::Null => Object::with_type(Type::Null).into(),
        })
    }
}
