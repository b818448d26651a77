//! Bodies of `/v1/bundles`.

use std::collections::BTreeMap;

use bulkhead_bundle::{Digest, KeyHint};
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::{self, Timestamp};

/// A stored bundle, and the reason if it may not be served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BundleView {
    #[serde(flatten)]
    stored: StoredBundle,
    not_served_because: Option<String>,
}

/// A version of a bundle in a tenant's namespace. Its digest never changes, even after the bundle was deleted.
#[derive(Debug, Serialize, ToSchema)]
struct StoredBundle {
    tenant: String,
    name: String,
    #[schema(value_type = String)]
    version: Version,
    #[schema(value_type = String)]
    digest: Digest,
    /// The name that clients use. A bundle without a pipeline has none, and only lends its plugins to others.
    model: Option<String>,
    /// The key that signed it; none if it was accepted unsigned, under `serve --dev`.
    #[schema(value_type = Option<String>)]
    key: Option<KeyHint>,
    files: BTreeMap<String, StoredFile>,
    bytes: u64,
    #[schema(value_type = String)]
    uploaded: Timestamp,
    by: String,
    state: BundleState,
    /// The bundles from which its stages take plugins, by the stage's text in the manifest, in the versions that were
    /// chosen when it was uploaded.
    #[serde(default)]
    uses: BTreeMap<String, Used>,
}

#[derive(Debug, Serialize, ToSchema)]
struct StoredFile {
    #[schema(value_type = String)]
    digest: Digest,
    bytes: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BundleState {
    Active,
    /// Its owner has not retired it, but it is not trusted any more, and so not served.
    Revoked,
    /// Its files are kept, but it is not served.
    Retired,
    /// Its files are removed, but the record of its version stays.
    Deleted,
}

/// A version of another bundle of the tenant.
#[derive(Debug, Serialize, ToSchema)]
struct Used {
    name: String,
    #[schema(value_type = String)]
    version: Version,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    #[serde(default)]
    pub reason: String,
}

/// The result of an upload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Uploaded {
    name: String,
    #[schema(value_type = String)]
    version: Version,
    #[schema(value_type = String)]
    digest: Digest,
    /// The name that clients use; none if the bundle only lends plugins to others.
    model: Option<String>,
    tenant: String,
    /// True if the bundle was there already, with the same contents.
    already: bool,
    /// True if the model is served and answers in a stream: clients then call it with generate_stream or ModelStreamInfer.
    streams: bool,
    /// What its publisher should know, although it was accepted: a plugin that could not be snapshotted, a bundle without
    /// trial requests, requests without a version that go to another version.
    warnings: Vec<String>,
}

/// A completed step of an upload, or a warning about it: one line of the reply that reports the steps.
#[derive(Debug, Serialize)]
pub(crate) struct Progress {
    step: &'static str,
    detail: String,
}

impl Progress {
    pub(crate) fn warning(detail: String) -> Progress {
        Progress { step: "warning", detail }
    }
}

impl BundleView {
    pub(crate) fn new(stored: control::StoredBundle, not_served_because: Option<String>) -> BundleView {
        let mut stored = StoredBundle::from(stored);
        if matches!(stored.state, BundleState::Active) && not_served_because.is_some() {
            stored.state = BundleState::Revoked;
        }
        BundleView { stored, not_served_because }
    }
}

impl From<control::StoredBundle> for StoredBundle {
    fn from(stored: control::StoredBundle) -> StoredBundle {
        let control::StoredBundle { tenant, name, version, digest, model, key, files, .. } = stored;
        let control::StoredBundle { bytes, uploaded, by, state, uses, .. } = stored;
        let files = files.into_iter().map(|(path, file)| (path, file.into())).collect();
        let uses = uses.into_iter().map(|(stage, used)| (stage, used.into())).collect();
        let state = state.into();
        StoredBundle { tenant, name, version, digest, model, key, files, bytes, uploaded, by, state, uses }
    }
}

impl From<control::StoredFile> for StoredFile {
    fn from(file: control::StoredFile) -> StoredFile {
        let control::StoredFile { digest, bytes } = file;
        StoredFile { digest, bytes }
    }
}

impl From<control::BundleState> for BundleState {
    fn from(state: control::BundleState) -> BundleState {
        match state {
            control::BundleState::Active => BundleState::Active,
            control::BundleState::Retired => BundleState::Retired,
            control::BundleState::Deleted => BundleState::Deleted,
        }
    }
}

impl From<control::Used> for Used {
    fn from(used: control::Used) -> Used {
        let control::Used { name, version } = used;
        Used { name, version }
    }
}

impl From<control::Uploaded> for Uploaded {
    fn from(uploaded: control::Uploaded) -> Uploaded {
        let control::Uploaded { name, version, digest, model, tenant, already, streams, warnings } = uploaded;
        Uploaded { name, version, digest, model, tenant, already, streams, warnings }
    }
}

impl From<control::Progress> for Progress {
    fn from(progress: control::Progress) -> Progress {
        let control::Progress { step, detail } = progress;
        Progress { step, detail }
    }
}
