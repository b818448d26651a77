//! The one place where errors become statuses: what the client is told, with which status and code, and what goes to the
//! log. `docs/status-codes.md` tells the same table to people; a test compares the two.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::wire::{DecodeError, EncodeError};
use crate::catalog::NotServed;
use crate::config::{clip, format_bytes};
use crate::graph::GraphError;
use crate::pipeline::{RunError, StageError};
use crate::sandbox::CallError;
use crate::schedule::{NoPlace, Panicked};
use crate::telemetry::log::LogError;
use crate::tenant::{Exceeded, Limit};
use crate::tensor::Misfit;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("there is nothing at this address")]
    NoSuchAddress,
    #[error("this address takes {allowed}")]
    Method { allowed: &'static str },
    #[error("the body has more than {} (http.request-bytes)", format_bytes(*.bound))]
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
    #[error("the body is not what {encoding} makes: {why}")]
    Packed { encoding: &'static str, why: String },
    #[error(transparent)]
    Decode(#[from] DecodeError),
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
    #[error("{what} is not for callers of this port: it is the operator's, on the operator's port (listen.admin)")]
    NotAllowed { what: &'static str },
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

/// A problem, and the request that had it.
pub struct Refusal {
    pub request: Arc<str>,
    /// Only a model that exists: what a stranger typed goes into no metric.
    pub model: Option<Arc<str>>,
    pub problem: Problem,
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
}

/// A limit that was reached: fuel in units, memory, stack and log in bytes, time in milliseconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitReply {
    name: &'static str,
    value: u64,
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
            Problem::BodyTooSlow { .. } => (S::REQUEST_TIMEOUT, "request_too_slow", None),
            Problem::TooMuchBuffered { .. } => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
            Problem::Encoding { .. } => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", None),
            Problem::BodyTorn => (S::BAD_REQUEST, "request_torn", None),
            Problem::Decode(_) | Problem::Packed { .. } | Problem::NotJson(_) | Problem::Setting { .. } => {
                (S::BAD_REQUEST, "malformed_request", None)
            }
            Problem::NotAllowed { .. } => (S::FORBIDDEN, "not_allowed", None),
            Problem::NotSupported { .. } => (S::BAD_REQUEST, "not_supported", None),
            Problem::Inputs(_) | Problem::UnknownOutput { .. } | Problem::Classification { .. } => {
                (S::BAD_REQUEST, "invalid_input", None)
            }
            Problem::NotServed(NotServed::UnknownModel { .. }) => (S::NOT_FOUND, "unknown_model", None),
            Problem::NotServed(NotServed::UnknownVersion { .. }) => (S::NOT_FOUND, "unknown_version", None),
            Problem::NotServed(NotServed::NotActive { .. }) => (S::SERVICE_UNAVAILABLE, "model_unavailable", None),
            Problem::NoPlace(_) => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
            Problem::Run(RunError { error, .. }) => stage_row(error),
            Problem::Panicked(_) | Problem::Log(_) => (S::INTERNAL_SERVER_ERROR, "internal", None),
            Problem::Encode(EncodeError::TooLarge { .. }) => (S::PAYLOAD_TOO_LARGE, "reply_too_large", None),
            Problem::Encode(EncodeError::NotText { .. }) => (S::NOT_ACCEPTABLE, "not_text", None),
            Problem::Encode(EncodeError::Json(_)) => (S::INTERNAL_SERVER_ERROR, "internal", None),
        }
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

    fn exceeded(&self) -> Option<&Exceeded> {
        match self {
            Problem::Run(RunError { error, .. }) => error.exceeded(),
            _ => None,
        }
    }
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

impl Refusal {
    pub fn into_response(self) -> Response<Body> {
        let (status, _, retry_after) = self.problem.row();
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Problem::Method { allowed } = self.problem {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    /// What the client is told.
    pub fn body(&self) -> Bytes {
        let (_, code, _) = self.problem.row();
        let mut text = self.problem.told();
        if let (Some(model), Problem::Run(_)) = (&self.model, &self.problem) {
            text = format!("model \"{model}\": {text}");
        }
        if let Some(exceeded) = self.problem.exceeded() {
            let key = exceeded.limit.key();
            text = format!("{text}. Send less in one request, or ask the operator to raise {key}");
        }
        let (model, stage) = match &self.problem {
            Problem::Run(RunError { stage, .. }) => (self.model.as_deref(), Some(&**stage)),
            _ => (None, None),
        };
        let exceeded = self.problem.exceeded();
        let limit = exceeded.map(|exceeded| LimitReply { name: exceeded.limit.name(), value: exceeded.bound });
        let body = ErrorReply { error: text, code, request_id: &self.request, model, stage, limit };
        serde_json::to_vec(&body).unwrap_or_default().into()
    }

    /// One line for the operator, with the cause that the client was not told.
    pub fn log(&self) {
        let (status, code, _) = self.problem.row();
        let (request, model) = (&*self.request, self.model.as_deref().unwrap_or_default());
        let stage = match &self.problem {
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
