//! Errors of administrative acts. An act that fails leaves no change behind.

use bulkhead_bundle::{Digest, FilesError, KeyError, KeyHint, Refused};
use bulkhead_store::{AuditBroken, StoreError};
use semver::Version;

use crate::activation::{ActivateError, ContentsError, ManifestError, TrialError};
use crate::config::{ConfigErrors, format_bytes};
use crate::scheduler::AdmissionError;

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("there is no {what} \"{name}\"")]
    NoSuch { what: &'static str, name: String },
    #[error("there is no {what} \"{name}\" of {of}")]
    NoSuchOf { what: &'static str, name: String, of: String },
    #[error("there is a {what} \"{name}\" already")]
    Exists { what: &'static str, name: String },
    #[error("{0}")]
    Invalid(String),
    #[error("limits: {0}")]
    Limits(#[from] ConfigErrors),
    #[error("key: {0}")]
    Key(#[from] KeyError),

    #[error("unpack: {0}")]
    Files(#[from] FilesError),
    #[error("verify: {}", untrusted(.0))]
    Refused(#[from] Refused),
    #[error("read: {0}")]
    Contents(#[from] ContentsError),
    #[error("read: {0}")]
    Manifest(#[from] ManifestError),
    #[error(
        "verify: publisher \"{publisher}\" may publish {names}, and the bundle is called \"{bundle}\". If it should have that name, add it with: bulkhead publisher trust {publisher} --add-names {bundle}"
    )]
    NotItsName { publisher: String, bundle: String, names: String },
    #[error("verify: key {hint} of publisher \"{publisher}\" is valid {window}; sign with a key that is valid now")]
    NotValidNow { publisher: String, hint: KeyHint, window: String },
    #[error(
        "verify: the bundle asks for the imports {missing}, and publisher \"{publisher}\" is granted: {granted}. If it should have them, add them with: bulkhead publisher trust {publisher} --add-imports {missing}"
    )]
    NotGranted { publisher: String, missing: String, granted: String },
    #[error(
        "verify: {digest} was revoked{} and cannot return; publish a new version with other contents",
        in_brackets(.reason)
    )]
    Revoked { digest: Digest, reason: String },
    #[error("verify: since the upload began, {name} {version} may not be served any more: {reason}")]
    Withdrawn { name: String, version: Version, reason: String },
    #[error(
        "store: {name} {version} is there already with other contents ({present}); the contents of a version never change: give the bundle a new version number"
    )]
    VersionTaken { name: String, version: Version, present: Digest },
    #[error(
        "store: model \"{model}\" is made by bundle {present} already; give one of the two another [pipeline] model"
    )]
    ModelTaken { model: String, present: String },
    #[error(
        "store: the tenant has {used} active versions of models, and its limit (models) is {bound}; retire some, or ask the operator for more"
    )]
    TooManyModels { used: usize, bound: usize },
    #[error(
        "store: the tenant stores {}, this bundle has {}, and its limit (stored-bytes) is {}; delete bundles, or ask the operator for more",
        format_bytes(*.used), format_bytes(*.wanted), format_bytes(*.bound)
    )]
    TooManyBytes { used: u64, wanted: u64, bound: u64 },
    #[error("activate: {0}")]
    Activate(#[from] ActivateError),
    #[error("trial: {0}")]
    Trial(#[from] TrialError),
    #[error("trial: {0}")]
    Admission(#[from] AdmissionError),
    #[error(
        "activate: stage \"{stage}\": the tenant has no active version of bundle {bundle} that fits {versions}; upload one first"
    )]
    NoSuchStage { stage: String, bundle: String, versions: String },
    #[error("version {version} of model \"{model}\" is not active; active are: {active}")]
    NotActive { model: String, version: Version, active: String },
    #[error(
        "model \"{model}\" cannot be rolled back: requests without a version go to {present}, and no earlier version that served them is remembered and active. Choose a version with: bulkhead model label {model} stable VERSION --tenant {tenant}; active are: {active}"
    )]
    NothingToReturnTo { tenant: String, model: String, present: String, active: String },
    #[error("version {version} of model \"{model}\" cannot be activated: {reason}")]
    NotTrusted { model: String, version: Version, reason: String },
    #[error(
        "this takes away what versions rest on that are served now, and they would stop: {stops}. Nothing was changed. To stop them, confirm with --yes (over HTTP: \"stop\": true)"
    )]
    WouldStop { stops: String },
    #[error(
        "the tenant's loaded versions hold {} of memory, and the limit (resident-bytes) would be {}: some of them would not be loaded again after a restart. Nothing was changed; retire or delete versions first",
        format_bytes(*.held), format_bytes(*.bound)
    )]
    WouldNotFit { held: u64, bound: u64 },
    #[error("bundle {name} {version} is used by {by}; delete that first")]
    InUse { name: String, version: Version, by: String },

    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Audit(#[from] AuditBroken),
    #[error("the host failed during this act; its log has the cause")]
    Panicked,
}

/// The reason why a signature is refused, and what the operator can do about it.
fn untrusted(refused: &Refused) -> String {
    match refused {
        Refused::UnknownKey(hint) => format!(
            "{refused}. An operator trusts its publisher with: bulkhead publisher trust NAME --key KEY.pub (hint {hint})"
        ),
        _ => refused.to_string(),
    }
}

/// A reason that follows a statement; nothing if none was given.
fn in_brackets(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

impl ControlError {
    pub fn no_such(what: &'static str, name: impl Into<String>) -> ControlError {
        ControlError::NoSuch { what, name: name.into() }
    }
}
