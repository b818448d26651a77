//! The codes of errors: for each its name, which never changes, its status over HTTP and gRPC, and after how many seconds
//! another try makes sense. `docs/status-codes.md` says what each means; a test compares the two.

use axum::http::StatusCode;

/// Declares [`Code`] from one row for each code.
macro_rules! codes {
    ($($variant:ident => $name:literal, $status:ident, $grpc:ident, $retry:expr;)*) => {
        /// The kind of an error, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($variant,)*
        }

        impl Code {
            #[cfg(test)]
            pub(super) const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The text in replies and metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }

            /// The status over HTTP.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Code::$variant => StatusCode::$status,)*
                }
            }

            /// The status over gRPC, which has fewer.
            pub fn grpc(self) -> tonic::Code {
                match self {
                    $(Code::$variant => tonic::Code::$grpc,)*
                }
            }

            /// Seconds after which another try makes sense, where that is the same for every error of this code.
            pub fn retry_after(self) -> Option<u32> {
                match self {
                    $(Code::$variant => $retry,)*
                }
            }
        }
    };
}

codes! {
    MalformedRequest => "malformed_request", BAD_REQUEST, InvalidArgument, None;
    InvalidInput => "invalid_input", BAD_REQUEST, InvalidArgument, None;
    IncompleteBody => "incomplete_body", BAD_REQUEST, InvalidArgument, None;
    NotSupported => "not_supported", BAD_REQUEST, Unimplemented, None;
    InvalidValue => "invalid_value", BAD_REQUEST, InvalidArgument, None;
    MalformedArchive => "malformed_archive", BAD_REQUEST, InvalidArgument, None;
    MalformedBundle => "malformed_bundle", BAD_REQUEST, InvalidArgument, None;
    MultipleResponses => "multiple_responses", BAD_REQUEST, InvalidArgument, None;
    Unauthenticated => "unauthenticated", UNAUTHORIZED, Unauthenticated, None;
    TenantDisabled => "tenant_disabled", FORBIDDEN, PermissionDenied, None;
    ForeignHost => "foreign_host", FORBIDDEN, PermissionDenied, None;
    ForeignOrigin => "foreign_origin", FORBIDDEN, PermissionDenied, None;
    InsufficientRole => "insufficient_role", FORBIDDEN, PermissionDenied, None;
    Untrusted => "untrusted", FORBIDDEN, PermissionDenied, None;
    NotPermitted => "not_permitted", FORBIDDEN, PermissionDenied, None;
    Revoked => "revoked", FORBIDDEN, PermissionDenied, None;
    UnknownEndpoint => "unknown_endpoint", NOT_FOUND, Unimplemented, None;
    UnknownModel => "unknown_model", NOT_FOUND, NotFound, None;
    UnknownVersion => "unknown_version", NOT_FOUND, NotFound, None;
    NotFound => "not_found", NOT_FOUND, NotFound, None;
    MethodNotAllowed => "method_not_allowed", METHOD_NOT_ALLOWED, Unimplemented, None;
    OutputNotUtf8 => "output_not_utf8", NOT_ACCEPTABLE, InvalidArgument, None;
    RequestTooSlow => "request_too_slow", REQUEST_TIMEOUT, DeadlineExceeded, None;
    AlreadyExists => "already_exists", CONFLICT, FailedPrecondition, None;
    VersionTaken => "version_taken", CONFLICT, FailedPrecondition, None;
    LimitModels => "limit_models", CONFLICT, ResourceExhausted, None;
    Conflict => "conflict", CONFLICT, FailedPrecondition, None;
    AuditBroken => "audit_broken", CONFLICT, FailedPrecondition, None;
    RequestTooLarge => "request_too_large", PAYLOAD_TOO_LARGE, ResourceExhausted, None;
    ReplyTooLarge => "reply_too_large", PAYLOAD_TOO_LARGE, ResourceExhausted, None;
    TargetTooLong => "target_too_long", URI_TOO_LONG, InvalidArgument, None;
    UnsupportedEncoding => "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE, Unimplemented, None;
    UnsupportedMediaType => "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, Unimplemented, None;
    NotGrpc => "not_grpc", UNSUPPORTED_MEDIA_TYPE, Unimplemented, None;
    ActivationFailed => "activation_failed", UNPROCESSABLE_ENTITY, Internal, None;
    TrialFailed => "trial_failed", UNPROCESSABLE_ENTITY, Internal, None;
    HeadTooLarge => "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, ResourceExhausted, None;
    LimitTenantFuel => "limit_tenant_fuel", TOO_MANY_REQUESTS, ResourceExhausted, None;
    LimitTenantCalls => "limit_tenant_calls", TOO_MANY_REQUESTS, ResourceExhausted, Some(1);
    LimitTenantMemory => "limit_tenant_memory", TOO_MANY_REQUESTS, ResourceExhausted, Some(1);
    LimitTenantActs => "limit_tenant_acts", TOO_MANY_REQUESTS, ResourceExhausted, None;
    LimitFuel => "limit_fuel", INTERNAL_SERVER_ERROR, ResourceExhausted, None;
    LimitMemory => "limit_memory", INTERNAL_SERVER_ERROR, ResourceExhausted, None;
    LimitStack => "limit_stack", INTERNAL_SERVER_ERROR, ResourceExhausted, None;
    LimitLog => "limit_log", INTERNAL_SERVER_ERROR, ResourceExhausted, None;
    PluginFailed => "plugin_failed", INTERNAL_SERVER_ERROR, Internal, None;
    PluginTrap => "plugin_trap", INTERNAL_SERVER_ERROR, Internal, None;
    PluginOutput => "plugin_output", INTERNAL_SERVER_ERROR, Internal, None;
    GraphFailed => "graph_failed", INTERNAL_SERVER_ERROR, Internal, None;
    Internal => "internal", INTERNAL_SERVER_ERROR, Internal, None;
    StorageFailed => "storage_failed", INTERNAL_SERVER_ERROR, Internal, None;
    ModelUnavailable => "model_unavailable", SERVICE_UNAVAILABLE, Unavailable, None;
    PluginUnavailable => "plugin_unavailable", SERVICE_UNAVAILABLE, Unavailable, Some(1);
    Overloaded => "overloaded", SERVICE_UNAVAILABLE, Unavailable, Some(1);
    ModelLoading => "model_loading", SERVICE_UNAVAILABLE, Unavailable, Some(1);
    ShuttingDown => "shutting_down", SERVICE_UNAVAILABLE, Unavailable, Some(1);
    LimitTime => "limit_time", GATEWAY_TIMEOUT, DeadlineExceeded, None;
    ClientDeadline => "client_deadline", GATEWAY_TIMEOUT, DeadlineExceeded, None;
    LimitStoredBytes => "limit_stored_bytes", INSUFFICIENT_STORAGE, ResourceExhausted, None;
    LimitResidentBytes => "limit_resident_bytes", INSUFFICIENT_STORAGE, ResourceExhausted, None;
    StorageFull => "storage_full", INSUFFICIENT_STORAGE, ResourceExhausted, None;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of `| 404 Not Found | `unknown_model` | NOT_FOUND | …`.
    #[test]
    fn the_document_has_every_code_with_its_statuses_and_no_other() {
        let document = include_str!("../../../docs/status-codes.md");
        let rows = document.lines().filter(|line| line.starts_with("| ") && line.contains("| `"));
        let documented: Vec<[String; 3]> = rows
            .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()))
            .map(|mut cells| std::array::from_fn(|_| cells.next().unwrap_or_default()))
            .collect();
        let in_code = |code: &Code| [code.status().to_string(), code.name().to_owned(), upper_case(code.grpc())];
        let in_code: Vec<[String; 3]> = Code::ALL.iter().map(in_code).collect();
        let missing: Vec<_> = in_code.iter().filter(|row| !documented.contains(row)).collect();
        let stale: Vec<_> = documented.iter().filter(|row| !in_code.contains(row)).collect();
        assert!(missing.is_empty(), "not in the document: {missing:?}");
        assert!(stale.is_empty(), "only in the document: {stale:?}");
    }

    /// `NotFound` as gRPC writes it, `NOT_FOUND`.
    fn upper_case(code: tonic::Code) -> String {
        format!("{code:?}").chars().fold(String::new(), |mut name, letter| {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
            name
        })
    }
}
