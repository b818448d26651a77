//! The table: a status, a code and a time to wait for each problem.

use axum::http::StatusCode;
use bulkhead_store::StoreError;

use super::ApiError;
use crate::activation::ActivateError;
use crate::catalog::LookupError;
use crate::codec::error::EncodeError;
use crate::control::ControlError;
use crate::pipeline::{RunError, StageError};
use crate::runtime::GraphError;
use crate::sandbox::CallError;
use crate::scheduler::AdmissionError;
use crate::tenant::{AuthError, Limit};

/// A row of the table: status, code, and after how many seconds another try makes sense.
pub type Row = (StatusCode, &'static str, Option<u32>);

impl ApiError {
    pub fn classify(&self) -> Row {
        use StatusCode as S;
        match self {
            ApiError::NoSuchAddress => (S::NOT_FOUND, "unknown_endpoint", None),
            ApiError::Method { .. } => (S::METHOD_NOT_ALLOWED, "method_not_allowed", None),
            ApiError::BodyTooLarge { .. } | ApiError::BodyNotSmall { .. } => {
                (S::PAYLOAD_TOO_LARGE, "request_too_large", None)
            }
            ApiError::NotGrpc => (S::UNSUPPORTED_MEDIA_TYPE, "not_grpc", None),
            ApiError::Deadline => (S::GATEWAY_TIMEOUT, "client_deadline", None),
            ApiError::ShuttingDown => (S::SERVICE_UNAVAILABLE, "shutting_down", Some(1)),
            ApiError::BodyTooSlow { .. } => (S::REQUEST_TIMEOUT, "request_too_slow", None),
            ApiError::TooMuchBuffered { .. } => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
            ApiError::Encoding { .. } => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", None),
            ApiError::BodyTorn => (S::BAD_REQUEST, "incomplete_body", None),
            ApiError::Decode(_) | ApiError::Packed { .. } | ApiError::NotJson(_) | ApiError::Setting { .. } => {
                (S::BAD_REQUEST, "malformed_request", None)
            }
            ApiError::NotSupported { .. } => (S::BAD_REQUEST, "not_supported", None),
            ApiError::Inputs(_) | ApiError::UnknownOutput { .. } | ApiError::Classification { .. } => {
                (S::BAD_REQUEST, "invalid_input", None)
            }
            ApiError::Lookup(LookupError::UnknownModel { .. }) => (S::NOT_FOUND, "unknown_model", None),
            ApiError::Lookup(LookupError::UnknownVersion { .. }) => (S::NOT_FOUND, "unknown_version", None),
            ApiError::Lookup(LookupError::NotActive { .. }) => (S::SERVICE_UNAVAILABLE, "model_unavailable", None),
            ApiError::Lookup(LookupError::Loading { .. }) => (S::SERVICE_UNAVAILABLE, "model_loading", Some(1)),
            ApiError::Auth(AuthError::Disabled(_)) => (S::FORBIDDEN, "tenant_disabled", None),
            ApiError::NoToken => (S::UNAUTHORIZED, "unauthenticated", None),
            ApiError::Role { .. } => (S::FORBIDDEN, "insufficient_role", None),
            ApiError::Malformed(_) => (S::BAD_REQUEST, "malformed_request", None),
            ApiError::UploadTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "request_too_large", None),
            ApiError::UploadTooSlow { .. } => (S::REQUEST_TIMEOUT, "request_too_slow", None),
            ApiError::Staging(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                (S::INSUFFICIENT_STORAGE, "storage_full", None)
            }
            ApiError::Staging(_) => (S::INTERNAL_SERVER_ERROR, "storage_failed", None),
            ApiError::Control(error) => control_row(error),
            ApiError::Auth(_) => (S::UNAUTHORIZED, "unauthenticated", None),
            ApiError::Admission(AdmissionError::OutOfFuel(out)) => {
                (S::TOO_MANY_REQUESTS, "limit_tenant_fuel", Some(seconds(out.wait)))
            }
            ApiError::Admission(AdmissionError::TenantQueueFull { .. } | AdmissionError::TenantTooLong { .. }) => {
                (S::TOO_MANY_REQUESTS, "limit_tenant_calls", Some(1))
            }
            ApiError::Admission(_) => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
            ApiError::Run(RunError { error, .. }) => stage_row(error),
            ApiError::Panicked(_) | ApiError::Log(_) => (S::INTERNAL_SERVER_ERROR, "internal", None),
            ApiError::Encode(EncodeError::TooLarge { .. }) => (S::PAYLOAD_TOO_LARGE, "reply_too_large", None),
            ApiError::Encode(EncodeError::NotText { .. }) => (S::NOT_ACCEPTABLE, "output_not_utf8", None),
            ApiError::Encode(EncodeError::Form { .. }) => (S::BAD_REQUEST, "invalid_input", None),
            ApiError::Encode(EncodeError::Json(_)) => (S::INTERNAL_SERVER_ERROR, "internal", None),
        }
    }
}

fn control_row(error: &ControlError) -> Row {
    use StatusCode as S;
    match error {
        ControlError::NoSuch { .. } => (S::NOT_FOUND, "not_found", None),
        ControlError::Exists { .. } => (S::CONFLICT, "already_exists", None),
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
        ControlError::Activate(ActivateError::NotResident(_)) => {
            (S::INSUFFICIENT_STORAGE, "limit_resident_bytes", None)
        }
        ControlError::Activate(_) | ControlError::NoSuchStage { .. } => {
            (S::UNPROCESSABLE_ENTITY, "activation_failed", None)
        }
        ControlError::Trial(_) => (S::UNPROCESSABLE_ENTITY, "trial_failed", None),
        ControlError::Admission(_) => (S::SERVICE_UNAVAILABLE, "overloaded", Some(1)),
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
        StageError::NotOne { .. } => (S::BAD_REQUEST, "multiple_responses", None),
        StageError::Plugin(CallError::Sink(_)) => (S::INTERNAL_SERVER_ERROR, "internal", None),
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
        _ if code == "unknown_endpoint" || code == "not_supported" => tonic::Code::Unimplemented,
        _ if code == "limit_time" || status == S::REQUEST_TIMEOUT => tonic::Code::DeadlineExceeded,
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
