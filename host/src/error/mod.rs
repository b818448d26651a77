//! The one place where errors become replies: the text, code and status that a client gets, and the line in the log.

mod code;
mod table;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::activation::ActivateError;
use crate::catalog::LookupError;
use crate::codec::error::{DecodeError, EncodeError};
use crate::config::{clip, format_bytes};
use crate::control::ControlError;
use crate::pipeline::RunError;
use crate::scheduler::{AdmissionError, Panicked};
use crate::telemetry::log::{LogError, with_causes};
use crate::tenant::{AuthError, Exceeded, TooManyActs};
use crate::tensor::SpecMismatch;

pub use code::Code;

/// The reason why a request was refused or failed, in any protocol.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("no such endpoint; this port's are listed at /docs, and in /openapi.json for programs")]
    NoSuchAddress,
    /// A list that clients expect there, and that another address has.
    #[error("no such endpoint; {instead}")]
    ListElsewhere { instead: String },
    #[error("no such endpoint; reflection lists the services of this port and their methods")]
    NoSuchCall,
    #[error("{address} is not on this port; {port} has it")]
    OtherPort { address: &'static str, port: &'static str },
    /// `instead` is empty, or says what the client may have meant.
    #[error("this address takes {allowed}{instead}")]
    Method { allowed: Cow<'static, str>, instead: &'static str },
    #[error("the body has more than {} (request-bytes of the tenant)", format_bytes(*.bound))]
    BodyTooLarge { bound: u64 },
    #[error("the body has more than {}, and no request to this address needs as much", format_bytes(*.bound))]
    BodyNotSmall { bound: u64 },
    #[error("the body did not arrive within {} (http.body-time)", humantime::format_duration(*.waited))]
    BodyTooSlow { waited: std::time::Duration },
    #[error("the connection closed before the whole body arrived")]
    BodyTorn,
    #[error(
        "server buffers are full: this tenant's requests and replies use {} of {} (http.buffered-bytes)",
        format_bytes(*.held),
        format_bytes(*.bound)
    )]
    TooMuchBuffered { held: u64, bound: u64 },
    #[error("the body is encoded as \"{encoding}\"; send it as it is, or as gzip or deflate")]
    Encoding { encoding: String },
    #[error("{what} is not taken; {instead}")]
    MediaType { what: String, instead: &'static str },
    #[error("the head of the request has more than {} in its request line and header fields, or more than 100 fields", format_bytes(*.bound))]
    HeadTooLarge { bound: u64 },
    #[error("the target in the request line has more than 65,534 bytes")]
    TargetTooLong,
    #[error(
        "the head of the request is not valid HTTP: its method, target, version or a header field has a form that HTTP does not have"
    )]
    MalformedHead,
    #[error("a request over HTTP/1.1 has one field Host, and this one has {}", host_fields(*.fields))]
    HostFields { fields: usize },
    #[error("this port speaks gRPC; HTTP with JSON has another (listen.http)")]
    NotGrpc,
    #[error("the client's deadline has passed")]
    Deadline,
    #[error("the host is shutting down")]
    ShuttingDown,
    #[error("the body is not valid {encoding}: {why}")]
    Packed { encoding: &'static str, why: String },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(
        "the operator's port wants the admin token of the host's data folder, or a key with the role deploy or admin: send it as the header authorization: Bearer …"
    )]
    NoToken,
    #[error(
        "the token is not this host's admin token, nor a key that it knows: the admin token is in the file admin.token of the host's data folder, and a key could have been revoked"
    )]
    WrongToken,
    #[error("this needs a key with the role {needed}, and yours has the role {has}")]
    Role { needed: &'static str, has: &'static str },
    #[error(
        "this needs a key with the role {needed}, and the request has no key: send one in the header authorization: Bearer …"
    )]
    NoKeyFor { needed: &'static str },
    #[error("{0}")]
    Malformed(String),
    #[error("the archive has more than {} (bundles.upload-bytes)", format_bytes(*.bound))]
    UploadTooLarge { bound: u64 },
    #[error("the archive did not arrive within {} (bundles.upload-time)", humantime::format_duration(*.waited))]
    UploadTooSlow { waited: std::time::Duration },
    #[error("the archive cannot be written to the data folder: {0}")]
    Staging(std::io::Error),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error("{0}")]
    Inputs(#[from] SpecMismatch),
    #[error("there is no output \"{output}\"; the model gives: {known}")]
    UnknownOutput { output: String, known: String },
    #[error(
        "output \"{output}\" cannot be classified because of {why}; ask for it without the parameter classification"
    )]
    Classification { output: String, why: String },
    #[error("{what} is not supported; {instead}")]
    NotSupported { what: String, instead: &'static str },
    #[error("the body is not the JSON that this address takes: {0}")]
    NotJson(serde_json::Error),
    #[error("{why}")]
    Setting { why: String },
    #[error(transparent)]
    Log(LogError),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error(transparent)]
    TooManyActs(#[from] TooManyActs),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The error of a handler, in the extensions of its response until the request's id is known.
#[derive(Clone)]
pub(crate) struct HandlerError(pub Arc<ApiError>);

/// The number of `Host` fields of a request that does not have one.
fn host_fields(fields: usize) -> String {
    if fields == 0 { "no field Host".into() } else { format!("{fields} fields Host") }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(HandlerError(Arc::new(self)));
        response
    }
}

/// An error and the request that it belongs to.
pub struct ErrorResponse {
    pub request: Arc<str>,
    /// The model's name, only if there is such a model: metrics have no label that a client can choose.
    pub model: Option<Arc<str>>,
    pub error: Arc<ApiError>,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorReply<'a> {
    /// The text, for people. It may change.
    error: String,
    /// The code, for programs. It does not change.
    code: &'a str,
    /// The id of the request, which the host's log names too.
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// The stage of the model that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitReply>,
    /// Seconds after which another try makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

/// A limit that was reached: fuel in units, memory, stack and log in bytes, time in milliseconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitReply {
    name: &'static str,
    value: u64,
    /// The amount that was used before, where it is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
}

impl ApiError {
    pub fn refuse(self, request: &Arc<str>) -> ErrorResponse {
        ErrorResponse { request: request.clone(), model: None, error: Arc::new(self) }
    }

    /// The text for the client. The words of a plugin's fault are for the operator, and stay in the log.
    fn public_message(&self) -> String {
        match self {
            ApiError::Run(error) => error.for_callers(),
            other => clip(other.to_string()),
        }
    }

    /// The limit that was reached: its key, its value, and the amount that was used of it, where that is known.
    fn limit(&self) -> Option<(&'static str, u64, Option<u64>)> {
        if let Some(exceeded) = self.exceeded() {
            return Some((exceeded.limit.name(), exceeded.bound, Some(exceeded.used)));
        }
        let whole = |name, value: usize| Some((name, value as u64, Some(value as u64)));
        match self {
            ApiError::BodyTooLarge { bound } => Some(("request-bytes", *bound, None)),
            ApiError::Encode(EncodeError::TooLarge { bound }) => Some(("reply-bytes", *bound, None)),
            ApiError::UploadTooLarge { bound } => Some(("upload-bytes", *bound, None)),
            ApiError::Admission(AdmissionError::OutOfFuel(out)) => {
                Some(("fuel-per-second", out.per_second, Some(out.used)))
            }
            ApiError::Admission(AdmissionError::TenantQueueFull { queue, .. }) => whole("queue", *queue),
            ApiError::Admission(AdmissionError::TenantTooLong { concurrency, .. }) => {
                whole("concurrency", *concurrency)
            }
            ApiError::Admission(AdmissionError::TenantStreams { streams }) => whole("streams", *streams),
            ApiError::Admission(AdmissionError::Streams { streams, .. }) => {
                Some(("compute.streams", *streams as u64, None))
            }
            ApiError::Admission(AdmissionError::QueueFull { queue, .. }) => whole("compute.queue", *queue),
            ApiError::Admission(AdmissionError::TooLong { concurrency, .. }) => {
                whole("compute.concurrency", *concurrency)
            }
            ApiError::Control(ControlError::TooManyModels { used, bound }) => {
                Some(("models", *bound as u64, Some(*used as u64)))
            }
            ApiError::Control(ControlError::TooManyBytes { used, bound, .. }) => {
                Some(("stored-bytes", *bound, Some(*used)))
            }
            ApiError::Control(ControlError::Activate(ActivateError::NotResident(refused))) => {
                Some((refused.whose.key(), refused.bound, Some(refused.used)))
            }
            _ => None,
        }
    }

    fn exceeded(&self) -> Option<&Exceeded> {
        match self {
            ApiError::Run(RunError { error, .. }) => error.exceeded(),
            _ => None,
        }
    }
}

impl ErrorResponse {
    /// The text for the client, the same over every protocol.
    pub fn text(&self) -> String {
        let mut text = self.error.public_message();
        if let (Some(model), ApiError::Run(_)) = (&self.model, &*self.error) {
            text = format!("model \"{model}\": {text}");
        }
        if let Some(exceeded) = self.error.exceeded() {
            let key = exceeded.limit.key();
            text = format!("{text}. Send less in one request, or ask the operator to raise {key}");
            // A tenant may have a lower limit of these than the host. Its key is named after the host's.
            if let Some(limit) = key.strip_prefix("call.") {
                text = format!("{text}, or call-{limit} where the tenant has less");
            }
        }
        text
    }

    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body()));
        let status = self.error.code().status();
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.error.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let ApiError::Method { allowed, .. } = &*self.error
            && let Ok(allowed) = HeaderValue::from_str(allowed)
        {
            headers.insert(header::ALLOW, allowed);
        }
        response
    }

    /// The body, as JSON.
    pub fn body(&self) -> Bytes {
        serde_json::to_vec(&self.reply()).unwrap_or_default().into()
    }

    /// The body.
    pub fn reply(&self) -> ErrorReply<'_> {
        let (code, retry_after) = (self.error.code().name(), self.error.retry_after());
        let (model, stage) = match &*self.error {
            ApiError::Run(RunError { stage, .. }) => (self.model.as_deref(), Some(&**stage)),
            _ => (None, None),
        };
        let limit = self.error.limit().map(|(name, value, used)| LimitReply { name, value, used });
        ErrorReply { error: self.text(), code, request_id: &self.request, model, stage, limit, retry_after }
    }

    /// The model that the request asked for, as far as it is known; empty otherwise.
    fn model_asked(&self) -> &str {
        match (&self.model, &*self.error) {
            (Some(model), _) => model,
            (None, ApiError::Lookup(LookupError::UnknownModel { model })) => model,
            (
                None,
                ApiError::Lookup(
                    LookupError::UnknownVersion { model, .. }
                    | LookupError::OnlyPreReleases { model, .. }
                    | LookupError::RouteGone { model, .. }
                    | LookupError::Withheld { model, .. }
                    | LookupError::Loading { model, .. }
                    | LookupError::NotActive { model, .. },
                ),
            ) => model,
            _ => "",
        }
    }

    /// Writes one line to the host's log, with the cause that is not in the reply.
    pub fn log(&self) {
        self.log_at(None);
    }

    /// Like [`Self::log`], with the address that was asked for: many refusals come before it is known whether there is such
    /// a model.
    pub fn log_at(&self, address: Option<&str>) {
        let code = self.error.code();
        let (request, model) = (&*self.request, clip(self.model_asked().to_owned()));
        let stage = match &*self.error {
            ApiError::Run(RunError { stage, .. }) => stage,
            _ => "",
        };
        let address = address.map(|address| clip(address.to_owned()));
        let (status, code, cause) = (code.status().as_u16(), code.name(), clip(with_causes(&*self.error)));
        if status >= 500 {
            tracing::warn!(request, address, model, stage, status, code, cause, "request failed");
        } else {
            tracing::info!(request, address, model, stage, status, code, cause, "request refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::StageError;
    use crate::sandbox::CallError;

    #[test]
    fn the_reason_of_a_trap_is_told_to_callers_only_where_they_may_read_it() {
        for told in [false, true] {
            let error =
                StageError::Plugin(CallError::Trap { reason: "panicked at src/lib.rs:3:4: no label".into(), told });
            let error = ApiError::Run(RunError { stage: "culprit".into(), error });
            assert!(with_causes(&error).contains("src/lib.rs:3:4: no label"), "the log");
            let text = error.public_message();
            assert_eq!(text.contains("src/lib.rs:3:4: no label"), told, "{text}");
        }
    }
}
