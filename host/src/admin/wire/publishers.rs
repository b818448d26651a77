//! Bodies of `/v1/publishers`.

use std::collections::BTreeSet;

use bulkhead_bundle::KeyHint;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::{self, Timestamp};
use crate::tenant::Capability;

/// A trusted publisher: its keys, the names of its bundles, and the capabilities that its plugins may be granted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Publisher {
    keys: Vec<TrustedKey>,
    /// Names of bundles that it may publish: `acme/*`, or one name in full.
    #[schema(value_type = Vec<String>)]
    names: BTreeSet<String>,
    #[schema(value_type = Vec<String>)]
    imports: BTreeSet<Capability>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TrustedKey {
    #[schema(value_type = String)]
    hint: KeyHint,
    pem: String,
    #[schema(value_type = String)]
    added: Timestamp,
    /// Bundles that are uploaded outside of the window from `not_before` to `not_after` are refused. Bundles that were
    /// uploaded inside it stay valid.
    #[schema(value_type = Option<String>)]
    not_before: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    not_after: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    revoked: Option<Timestamp>,
}

/// Creates a publisher, or changes the given fields of an existing one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustRequest {
    /// A public key as PEM text, in addition to the present keys.
    key: Option<String>,
    #[schema(value_type = Option<String>)]
    not_before: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    not_after: Option<Timestamp>,
    /// Names of bundles, in place of the present ones: `acme/*`, or one name in full. A new publisher has all names under
    /// its own.
    #[schema(value_type = Option<Vec<String>>)]
    names: Option<BTreeSet<String>>,
    /// Capabilities that its plugins may be granted, in place of the present ones. A new publisher has none.
    #[schema(value_type = Option<Vec<String>>)]
    imports: Option<BTreeSet<Capability>>,
}

impl From<control::Publisher> for Publisher {
    fn from(publisher: control::Publisher) -> Publisher {
        let control::Publisher { keys, names, imports } = publisher;
        Publisher { keys: keys.into_iter().map(TrustedKey::from).collect(), names, imports }
    }
}

impl From<control::TrustedKey> for TrustedKey {
    fn from(key: control::TrustedKey) -> TrustedKey {
        let control::TrustedKey { hint, pem, added, not_before, not_after, revoked } = key;
        TrustedKey { hint, pem, added, not_before, not_after, revoked }
    }
}

impl From<TrustRequest> for control::TrustRequest {
    fn from(request: TrustRequest) -> control::TrustRequest {
        let TrustRequest { key, not_before, not_after, names, imports } = request;
        control::TrustRequest { key, not_before, not_after, names, imports }
    }
}
