//! The table from errors to codes.

use bulkhead_store::StoreError;

use super::{ApiError, Code};
use crate::activation::ActivateError;
use crate::catalog::LookupError;
use crate::codec::error::{DecodeError, EncodeError};
use crate::control::ControlError;
use crate::pipeline::{RunError, StageError};
use crate::runtime::GraphError;
use crate::sandbox::CallError;
use crate::scheduler::AdmissionError;
use crate::tenant::{AuthError, Limit};

impl ApiError {
    pub fn code(&self) -> Code {
        match self {
            ApiError::NoSuchAddress
            | ApiError::NoSuchCall
            | ApiError::ListElsewhere { .. }
            | ApiError::OtherPort { .. } => Code::UnknownEndpoint,
            ApiError::Method { .. } => Code::MethodNotAllowed,
            ApiError::BodyTooLarge { .. } | ApiError::BodyNotSmall { .. } => Code::RequestTooLarge,
            ApiError::NotGrpc => Code::NotGrpc,
            ApiError::Deadline => Code::ClientDeadline,
            ApiError::ShuttingDown => Code::ShuttingDown,
            ApiError::BodyTooSlow { .. } => Code::RequestTooSlow,
            ApiError::TooMuchBuffered { .. } => Code::Overloaded,
            ApiError::Encoding { .. } => Code::UnsupportedEncoding,
            ApiError::MediaType { .. } => Code::UnsupportedMediaType,
            ApiError::HeadTooLarge { .. } => Code::HeadTooLarge,
            ApiError::TargetTooLong => Code::TargetTooLong,
            ApiError::MalformedHead => Code::MalformedRequest,
            ApiError::BodyTorn => Code::IncompleteBody,
            ApiError::Decode(DecodeError::SharedMemory { .. }) => Code::NotSupported,
            ApiError::Decode(_) | ApiError::Packed { .. } | ApiError::NotJson(_) | ApiError::Setting { .. } => {
                Code::MalformedRequest
            }
            ApiError::NotSupported { .. } => Code::NotSupported,
            ApiError::Inputs(_) | ApiError::UnknownOutput { .. } | ApiError::Classification { .. } => {
                Code::InvalidInput
            }
            ApiError::Lookup(LookupError::UnknownModel { .. }) => Code::UnknownModel,
            ApiError::Lookup(LookupError::UnknownVersion { .. } | LookupError::OnlyPreReleases { .. }) => {
                Code::UnknownVersion
            }
            ApiError::Lookup(
                LookupError::NotActive { .. } | LookupError::RouteGone { .. } | LookupError::Withheld { .. },
            ) => Code::ModelUnavailable,
            ApiError::Lookup(LookupError::Loading { .. }) => Code::ModelLoading,
            ApiError::Auth(AuthError::Disabled(_)) => Code::TenantDisabled,
            ApiError::Auth(AuthError::Repeated(_)) | ApiError::HostFields { .. } => Code::MalformedRequest,
            ApiError::Auth(AuthError::ForeignHost(_)) => Code::ForeignHost,
            ApiError::Auth(AuthError::ForeignOrigin(_)) => Code::ForeignOrigin,
            ApiError::NoToken | ApiError::WrongToken => Code::Unauthenticated,
            ApiError::Role { .. } | ApiError::NoKeyFor { .. } => Code::InsufficientRole,
            ApiError::Malformed(_) => Code::MalformedRequest,
            ApiError::UploadTooLarge { .. } => Code::RequestTooLarge,
            ApiError::UploadTooSlow { .. } => Code::RequestTooSlow,
            ApiError::Staging(error) if error.kind() == std::io::ErrorKind::StorageFull => Code::StorageFull,
            ApiError::Staging(_) => Code::StorageFailed,
            ApiError::Control(error) => control_code(error),
            ApiError::Auth(_) => Code::Unauthenticated,
            ApiError::Admission(AdmissionError::OutOfFuel(_)) => Code::LimitTenantFuel,
            ApiError::Admission(
                AdmissionError::TenantQueueFull { .. }
                | AdmissionError::TenantTooLong { .. }
                | AdmissionError::TenantStreams { .. },
            ) => Code::LimitTenantCalls,
            ApiError::Admission(_) => Code::Overloaded,
            ApiError::TooManyActs(_) => Code::LimitTenantActs,
            ApiError::Run(RunError { error, .. }) => stage_code(error),
            ApiError::Panicked(_) | ApiError::Log(_) => Code::Internal,
            ApiError::Encode(EncodeError::TooLarge { .. }) => Code::ReplyTooLarge,
            ApiError::Encode(EncodeError::NotText { .. }) => Code::OutputNotUtf8,
            ApiError::Encode(EncodeError::Form { .. }) => Code::InvalidInput,
            ApiError::Encode(EncodeError::Json(_)) => Code::Internal,
        }
    }

    /// Seconds after which another try makes sense.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            ApiError::Admission(AdmissionError::OutOfFuel(out)) => Some(seconds(out.wait)),
            ApiError::TooManyActs(refused) => Some(seconds(refused.wait)),
            _ => self.code().retry_after(),
        }
    }
}

fn control_code(error: &ControlError) -> Code {
    match error {
        ControlError::NoSuch { .. } | ControlError::NoSuchOf { .. } => Code::NotFound,
        ControlError::Exists { .. } => Code::AlreadyExists,
        ControlError::Invalid(_) | ControlError::Limits(_) | ControlError::Key(_) => Code::InvalidValue,
        ControlError::Files(_) => Code::MalformedArchive,
        ControlError::Refused(_) => Code::Untrusted,
        ControlError::Contents(_) | ControlError::Manifest(_) => Code::MalformedBundle,
        ControlError::NotItsName { .. } | ControlError::NotValidNow { .. } | ControlError::NotGranted { .. } => {
            Code::NotPermitted
        }
        ControlError::Revoked { .. } | ControlError::Withdrawn { .. } => Code::Revoked,
        ControlError::VersionTaken { .. } | ControlError::ModelTaken { .. } => Code::VersionTaken,
        ControlError::TooManyModels { .. } => Code::LimitModels,
        ControlError::TooManyBytes { .. } => Code::LimitStoredBytes,
        ControlError::Activate(ActivateError::NotResident(_)) => Code::LimitResidentBytes,
        ControlError::Activate(_) | ControlError::NoSuchStage { .. } => Code::ActivationFailed,
        ControlError::Trial(_) => Code::TrialFailed,
        ControlError::Admission(_) => Code::Overloaded,
        ControlError::NotActive { .. }
        | ControlError::NothingToReturnTo { .. }
        | ControlError::InUse { .. }
        | ControlError::NotTrusted { .. }
        | ControlError::WouldNotFit { .. }
        | ControlError::WouldStop { .. } => Code::Conflict,
        ControlError::Store(StoreError::DiskFull { .. }) => Code::StorageFull,
        ControlError::Store(StoreError::Conflict { .. }) => Code::Conflict,
        ControlError::Store(_) => Code::StorageFailed,
        ControlError::Audit(_) => Code::AuditBroken,
        ControlError::Panicked => Code::Internal,
    }
}

/// Whole seconds, at least one: a client that tries again at once comes too early.
fn seconds(wait: std::time::Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

fn stage_code(error: &StageError) -> Code {
    if let Some(exceeded) = error.exceeded() {
        return match exceeded.limit {
            Limit::Fuel => Code::LimitFuel,
            Limit::Memory => Code::LimitMemory,
            Limit::Time => Code::LimitTime,
            Limit::Stack => Code::LimitStack,
            Limit::Log => Code::LimitLog,
            Limit::TenantMemory => Code::LimitTenantMemory,
        };
    }
    match error {
        StageError::Plugin(CallError::InvalidInput(_)) => Code::InvalidInput,
        StageError::Plugin(CallError::Unavailable(_)) => Code::PluginUnavailable,
        StageError::Plugin(CallError::Internal(_) | CallError::Exited(_)) => Code::PluginFailed,
        StageError::Plugin(CallError::Trap { .. }) => Code::PluginTrap,
        StageError::Plugin(CallError::Output(_)) => Code::PluginOutput,
        StageError::NotOne { .. } => Code::MultipleResponses,
        StageError::Plugin(CallError::Sink(_)) => Code::Internal,
        StageError::Input(_) | StageError::Graph(GraphError::Input(_) | GraphError::Value(_)) => Code::InvalidInput,
        StageError::Graph(_) => Code::GraphFailed,
        StageError::Plugin(CallError::Exceeded(_)) | StageError::Exceeded(_) => Code::Internal,
    }
}
