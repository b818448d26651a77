//! The one place where errors become statuses: what the client is told, with which status and code, and what goes to the
//! log. `docs/status-codes.md` tells the same table to people; a test compares the two.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bulkhead_store::StoreError;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::wire::{DecodeError, EncodeError};
use crate::catalog::NotServed;
use crate::config::{clip, format_bytes};
use crate::control::ControlError;
use crate::graph::GraphError;
use crate::pipeline::{RunError, StageError};
use crate::sandbox::CallError;
use crate::schedule::{NoPlace, Panicked};
use crate::telemetry::log::LogError;
use crate::tenant::{Exceeded, Limit, NotAllowedIn};
use crate::tensor::Misfit;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("there is nothing at this address")]
    NoSuchAddress,
    #[error("this address takes {allowed}")]
    Method { allowed: &'static str },
    #[error("the body has more than {} (request-bytes of the tenant)", format_bytes(*.bound))]
    BodyTooLarge { bound: u64 },
    #[error("the body has more than {}, and no request to this address needs as much", format_bytes(*.bound))]
    BodyNotSmall { bound: u64 },
    #[error("the body did not arrive within {} (http.body-time)", humantime::format_duration(*.waited))]
    BodyTooSlow { waited: std::time::Duration },
    #[error("the body broke off")]
    BodyTorn,
    #[error("bodies of {} wait already (http.buffered-bytes)", format_bytes(*.bound))]
    TooMuchBuffered { bound: u64 },
    #[error("the body is encoded as \"{encoding}\"; send it as it is, or as gzip or deflate")]
    Encoding { encoding: String },
    #[error("this port speaks gRPC; HTTP with JSON has another (listen.http)")]
    NotGrpc,
    #[error("the client's deadline has passed")]
    Deadline,
    #[error("the host is shutting down")]
    ShuttingDown,
    #[error("the body is not what {encoding} makes: {why}")]
    Packed { encoding: &'static str, why: String },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    NotAllowedIn(#[from] NotAllowedIn),
    #[error(
        "the operator's port wants the admin token of the host's data folder, or a key with the role deploy or admin: send it as the header authorization: Bearer …"
    )]
    NoToken,
    #[error("this needs a key with the role {needed}, and yours has the role {has}")]
    Role { needed: &'static str, has: &'static str },
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
    NotServed(#[from] NotServed),
    #[error("{0}")]
    Inputs(#[from] Misfit),
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
    NoPlace(#[from] NoPlace),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A problem that a handler gave, on its way to where the request's name is known.
#[derive(Clone)]
pub(super) struct Failed(pub Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(Failed(Arc::new(self)));
        response
    }
}

/// A problem, and the request that had it.
pub struct Refusal {
    pub request: Arc<str>,
    /// Only a model that exists: what a stranger typed goes into no metric.
    pub model: Option<Arc<str>>,
    pub problem: Arc<Problem>,
}

/// What a client gets of a refusal.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorReply<'a> {
    /// For people; it may change.
    error: String,
    /// For programs; it does not change.
    code: &'a str,
    /// The same stands in the host's log.
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// Where a stage of the model was at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitReply>,
    /// After so many seconds another try makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

/// A limit that was reached: fuel in units, memory, stack and log in bytes, time in milliseconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitReply {
    name: &'static str,
    value: u64,
    /// How much was used, or would have been, where that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
}

/// A row of the table: status, code, and after how many seconds another try makes sense.
type Row = (StatusCode, &'static str, Option<u32>);

impl Problem {
    pub fn row(&self) -> Row {
        use StatusCode as S;
        match self {
            Problem::NoSuchAddress => (S::NOT_FOUND, "no_such_address", None),
            Problem::Method { .. } => (S::METHOD_NOT_ALLOWED, "method_not_allowed", None),
            Problem::BodyTooLarge { .. } | Problem::BodyNotSmall { .. } => {
                (S::PAYLOAD_TOO_LARGE, "request_too_large", None)
            }
            Problem::NotGrpc => (S::UNSUPPORTED_MEDIA_TYPE, "not_grpc", None),
            Problem::Deadline => (S::GATEWAY_TIMEOUT, "client_deadline", None),
            Problem::ShuttingDown => (S::SERVICE_UNAVAILABLE, "shutting_down", Some(1)),
            Problem::BodyTooSlow { .. } => (S::REQUEST_TIMEOUT, "request_too_slow", None),
            Problem::TooMuchBuffered { .. } => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
            Problem::Encoding { .. } => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", None),
            Problem::BodyTorn => (S::BAD_REQUEST, "request_torn", None),
            Problem::Decode(_) | Problem::Packed { .. } | Problem::NotJson(_) | Problem::Setting { .. } => {
                (S::BAD_REQUEST, "malformed_request", None)
            }
            Problem::NotSupported { .. } => (S::BAD_REQUEST, "not_supported", None),
            Problem::Inputs(_) | Problem::UnknownOutput { .. } | Problem::Classification { .. } => {
                (S::BAD_REQUEST, "invalid_input", None)
            }
            Problem::NotServed(NotServed::UnknownModel { .. }) => (S::NOT_FOUND, "unknown_model", None),
            Problem::NotServed(NotServed::UnknownVersion { .. }) => (S::NOT_FOUND, "unknown_version", None),
            Problem::NotServed(NotServed::NotActive { .. }) => (S::SERVICE_UNAVAILABLE, "model_unavailable", None),
            Problem::NotServed(NotServed::Loading { .. }) => (S::SERVICE_UNAVAILABLE, "model_loading", Some(1)),
            Problem::NotAllowedIn(NotAllowedIn::Disabled(_)) => (S::FORBIDDEN, "tenant_disabled", None),
            Problem::NoToken => (S::UNAUTHORIZED, "unauthenticated", None),
            Problem::Role { .. } => (S::FORBIDDEN, "role", None),
            Problem::Malformed(_) => (S::BAD_REQUEST, "malformed_request", None),
            Problem::UploadTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "request_too_large", None),
            Problem::UploadTooSlow { .. } => (S::REQUEST_TIMEOUT, "request_too_slow", None),
            Problem::Staging(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                (S::INSUFFICIENT_STORAGE, "storage_full", None)
            }
            Problem::Staging(_) => (S::INTERNAL_SERVER_ERROR, "storage_failed", None),
            Problem::Control(error) => control_row(error),
            Problem::NotAllowedIn(_) => (S::UNAUTHORIZED, "unauthenticated", None),
            Problem::NoPlace(NoPlace::OutOfFuel(out)) => {
                (S::TOO_MANY_REQUESTS, "limit_tenant_fuel", Some(seconds(out.wait)))
            }
            Problem::NoPlace(NoPlace::TenantQueueFull { .. } | NoPlace::TenantTooLong { .. }) => {
                (S::TOO_MANY_REQUESTS, "limit_tenant_calls", Some(1))
            }
            Problem::NoPlace(_) => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
            Problem::Run(RunError { error, .. }) => stage_row(error),
            Problem::Panicked(_) | Problem::Log(_) => (S::INTERNAL_SERVER_ERROR, "internal", None),
            Problem::Encode(EncodeError::TooLarge { .. }) => (S::PAYLOAD_TOO_LARGE, "reply_too_large", None),
            Problem::Encode(EncodeError::NotText { .. }) => (S::NOT_ACCEPTABLE, "not_text", None),
            Problem::Encode(EncodeError::Form { .. }) => (S::BAD_REQUEST, "invalid_input", None),
            Problem::Encode(EncodeError::Json(_)) => (S::INTERNAL_SERVER_ERROR, "internal", None),
        }
    }

    pub fn refuse(self, request: &Arc<str>) -> Refusal {
        Refusal { request: request.clone(), model: None, problem: Arc::new(self) }
    }

    /// For the client: what the publisher of a plugin wrote for the log stays in the log.
    fn told(&self) -> String {
        let Problem::Run(RunError { stage, error }) = self else { return clip(self.to_string()) };
        let told = match error {
            StageError::Plugin(CallError::Internal(_)) => "failed; the host's log has the cause".into(),
            StageError::Plugin(CallError::Trap { .. }) => {
                "trapped: it ended with an error of its own; the host's log has the cause".into()
            }
            StageError::Graph(GraphError::Failed(_)) => "failed on these inputs; the host's log has the cause".into(),
            other => other.to_string(),
        };
        format!("stage \"{stage}\" {told}")
    }

    /// The limit that was reached, as an operator calls it; its value; and what was used of it, where that is known.
    fn limit(&self) -> Option<(&'static str, u64, Option<u64>)> {
        if let Some(exceeded) = self.exceeded() {
            return Some((exceeded.limit.name(), exceeded.bound, Some(exceeded.used)));
        }
        let whole = |name, value: usize| Some((name, value as u64, Some(value as u64)));
        match self {
            Problem::BodyTooLarge { bound } => Some(("request-bytes", *bound, None)),
            Problem::Encode(EncodeError::TooLarge { bound }) => Some(("reply-bytes", *bound, None)),
            Problem::UploadTooLarge { bound } => Some(("upload-bytes", *bound, None)),
            Problem::NoPlace(NoPlace::OutOfFuel(out)) => Some(("fuel-per-second", out.per_second, Some(out.used))),
            Problem::NoPlace(NoPlace::TenantQueueFull { queue, .. }) => whole("queue", *queue),
            Problem::NoPlace(NoPlace::TenantTooLong { concurrency, .. }) => whole("concurrency", *concurrency),
            Problem::NoPlace(NoPlace::QueueFull { queue, .. }) => whole("compute.queue", *queue),
            Problem::NoPlace(NoPlace::TooLong { concurrency, .. }) => whole("compute.concurrency", *concurrency),
            Problem::Control(ControlError::TooManyModels { used, bound }) => {
                Some(("models", *bound as u64, Some(*used as u64)))
            }
            Problem::Control(ControlError::TooManyBytes { used, bound, .. }) => {
                Some(("stored-bytes", *bound, Some(*used)))
            }
            _ => None,
        }
    }

    fn exceeded(&self) -> Option<&Exceeded> {
        match self {
            Problem::Run(RunError { error, .. }) => error.exceeded(),
            _ => None,
        }
    }
}

fn control_row(error: &ControlError) -> Row {
    use StatusCode as S;
    match error {
        ControlError::NoSuch { .. } => (S::NOT_FOUND, "not_found", None),
        ControlError::Exists { .. } => (S::CONFLICT, "already_there", None),
        ControlError::Invalid(_) | ControlError::Limits(_) | ControlError::Key(_) => {
            (S::BAD_REQUEST, "invalid_value", None)
        }
        ControlError::Files(_) => (S::BAD_REQUEST, "malformed_archive", None),
        ControlError::Refused(_) => (S::FORBIDDEN, "untrusted", None),
        ControlError::Contents(_) | ControlError::Manifest(_) => (S::BAD_REQUEST, "malformed_bundle", None),
        ControlError::NotItsName { .. } | ControlError::NotValidNow { .. } | ControlError::NotGranted { .. } => {
            (S::FORBIDDEN, "not_permitted", None)
        }
        ControlError::Revoked { .. } | ControlError::Withdrawn { .. } => (S::FORBIDDEN, "revoked", None),
        ControlError::VersionTaken { .. } | ControlError::ModelTaken { .. } => (S::CONFLICT, "version_taken", None),
        ControlError::TooManyModels { .. } => (S::CONFLICT, "limit_models", None),
        ControlError::TooManyBytes { .. } => (S::INSUFFICIENT_STORAGE, "limit_stored_bytes", None),
        ControlError::Activate(_) | ControlError::NoSuchStage { .. } => {
            (S::UNPROCESSABLE_ENTITY, "activation_failed", None)
        }
        ControlError::Trial(_) => (S::UNPROCESSABLE_ENTITY, "trial_failed", None),
        ControlError::NoPlace(_) => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
        ControlError::NotActive { .. } | ControlError::NothingToReturnTo { .. } | ControlError::InUse { .. } => {
            (S::CONFLICT, "conflict", None)
        }
        ControlError::Store(StoreError::DiskFull { .. }) => (S::INSUFFICIENT_STORAGE, "storage_full", None),
        ControlError::Store(_) => (S::INTERNAL_SERVER_ERROR, "storage_failed", None),
        ControlError::Audit(_) => (S::CONFLICT, "audit_broken", None),
        ControlError::Panicked => (S::INTERNAL_SERVER_ERROR, "internal", None),
    }
}

/// Whole seconds, and never none: a client that tries again at once only comes too early.
fn seconds(wait: std::time::Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

fn stage_row(error: &StageError) -> Row {
    use StatusCode as S;
    if let Some(exceeded) = error.exceeded() {
        return match exceeded.limit {
            Limit::Fuel => (S::INTERNAL_SERVER_ERROR, "limit_fuel", None),
            Limit::Memory => (S::INTERNAL_SERVER_ERROR, "limit_memory", None),
            Limit::Time => (S::GATEWAY_TIMEOUT, "limit_time", None),
            Limit::Stack => (S::INTERNAL_SERVER_ERROR, "limit_stack", None),
            Limit::Log => (S::INTERNAL_SERVER_ERROR, "limit_log", None),
            Limit::TenantMemory => (S::TOO_MANY_REQUESTS, "limit_tenant_memory", Some(1)),
        };
    }
    match error {
        StageError::Plugin(CallError::InvalidInput(_)) => (S::BAD_REQUEST, "invalid_input", None),
        StageError::Plugin(CallError::Unavailable(_)) => (S::SERVICE_UNAVAILABLE, "plugin_unavailable", Some(1)),
        StageError::Plugin(CallError::Internal(_) | CallError::Exited(_)) => {
            (S::INTERNAL_SERVER_ERROR, "plugin_failed", None)
        }
        StageError::Plugin(CallError::Trap { .. }) => (S::INTERNAL_SERVER_ERROR, "plugin_trap", None),
        StageError::Plugin(CallError::Output(_)) => (S::INTERNAL_SERVER_ERROR, "plugin_output", None),
        StageError::Input(_) | StageError::Graph(GraphError::Input(_)) => (S::BAD_REQUEST, "invalid_input", None),
        StageError::Graph(_) => (S::INTERNAL_SERVER_ERROR, "graph_failed", None),
        StageError::Plugin(CallError::Exceeded(_)) | StageError::Exceeded(_) => {
            (S::INTERNAL_SERVER_ERROR, "internal", None)
        }
    }
}

/// The table's column for gRPC, which has fewer statuses: where HTTP has one for two things, the code decides.
pub fn grpc_code(status: StatusCode, code: &str) -> tonic::Code {
    use StatusCode as S;
    match status {
        _ if code == "no_such_address" || code == "not_supported" => tonic::Code::Unimplemented,
        _ if code == "limit_time" || code == "request_too_slow" => tonic::Code::DeadlineExceeded,
        _ if code.starts_with("limit_") => tonic::Code::ResourceExhausted,
        S::BAD_REQUEST | S::NOT_ACCEPTABLE => tonic::Code::InvalidArgument,
        S::UNAUTHORIZED => tonic::Code::Unauthenticated,
        S::FORBIDDEN => tonic::Code::PermissionDenied,
        S::NOT_FOUND => tonic::Code::NotFound,
        S::CONFLICT => tonic::Code::FailedPrecondition,
        S::PAYLOAD_TOO_LARGE | S::TOO_MANY_REQUESTS | S::INSUFFICIENT_STORAGE => tonic::Code::ResourceExhausted,
        S::METHOD_NOT_ALLOWED | S::UNSUPPORTED_MEDIA_TYPE => tonic::Code::Unimplemented,
        S::SERVICE_UNAVAILABLE => tonic::Code::Unavailable,
        S::GATEWAY_TIMEOUT => tonic::Code::DeadlineExceeded,
        _ => tonic::Code::Internal,
    }
}

impl Refusal {
    /// What the client reads, over any protocol.
    pub fn text(&self) -> String {
        let mut text = self.problem.told();
        if let (Some(model), Problem::Run(_)) = (&self.model, &*self.problem) {
            text = format!("model \"{model}\": {text}");
        }
        if let Some(exceeded) = self.problem.exceeded() {
            let key = exceeded.limit.key();
            text = format!("{text}. Send less in one request, or ask the operator to raise {key}");
        }
        text
    }

    pub fn into_response(self) -> Response<Body> {
        let (status, _, retry_after) = self.problem.row();
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Problem::Method { allowed } = *self.problem {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    /// What the client is told, as bytes.
    pub fn body(&self) -> Bytes {
        serde_json::to_vec(&self.told()).unwrap_or_default().into()
    }

    /// What the client is told.
    pub fn told(&self) -> ErrorReply<'_> {
        let (_, code, retry_after) = self.problem.row();
        let (model, stage) = match &*self.problem {
            Problem::Run(RunError { stage, .. }) => (self.model.as_deref(), Some(&**stage)),
            _ => (None, None),
        };
        let limit = self.problem.limit().map(|(name, value, used)| LimitReply { name, value, used });
        ErrorReply { error: self.text(), code, request_id: &self.request, model, stage, limit, retry_after }
    }

    /// One line for the operator, with the cause that the client was not told.
    pub fn log(&self) {
        let (status, code, _) = self.problem.row();
        let (request, model) = (&*self.request, self.model.as_deref().unwrap_or_default());
        let stage = match &*self.problem {
            Problem::Run(RunError { stage, .. }) => stage,
            _ => "",
        };
        let (status, cause) = (status.as_u16(), clip(self.problem.to_string()));
        if status >= 500 {
            tracing::warn!(request, model, stage, status, code, cause, "request failed");
        } else {
            tracing::info!(request, model, stage, status, code, cause, "request refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `| 404 Not Found | `unknown_model` | NOT_FOUND | …`
    #[test]
    fn the_documented_statuses_of_grpc_are_those_of_the_table() {
        let document = include_str!("../../../docs/status-codes.md");
        let rows: Vec<Vec<&str>> = document
            .lines()
            .filter(|line| line.starts_with("| ") && line.contains("| `"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert!(rows.len() > 20);
        for row in rows {
            let status = row[0].split(' ').next().and_then(|status| status.parse().ok()).unwrap();
            let code = grpc_code(status, row[1].trim_matches('`'));
            let name = format!("{code:?}").chars().fold(String::new(), |mut name, letter| {
                if letter.is_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
                name
            });
            assert_eq!(row[2], name, "{row:?}");
        }
    }
}
