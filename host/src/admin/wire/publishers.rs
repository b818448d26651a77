//! Bodies of `/v1/publishers`.

use std::collections::BTreeSet;

use bulkhead_bundle::KeyHint;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::control::{self, Timestamp};
use crate::tenant::Capability;

/// A trusted publisher: its keys, the names of its bundles, and the capabilities that its plugins may be granted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Publisher {
    name: String,
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
    /// `valid`, `not yet` or `ended` by its window at this moment, or `revoked`.
    state: &'static str,
}

/// Creates a publisher, or changes the given fields of an existing one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustRequest {
    /// A public key as PEM text, in addition to the present keys.
    key: Option<String>,
    /// The window of the key. A bound that is left out stays as it is; `null` removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    not_before: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    not_after: Option<Option<Timestamp>>,
    /// Names of bundles, in place of the present ones: `acme/*`, or one name in full. A new publisher has all names under
    /// its own.
    #[schema(value_type = Option<Vec<String>>)]
    names: Option<BTreeSet<String>>,
    /// Names in addition to the present ones.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    add_names: BTreeSet<String>,
    /// Capabilities that its plugins may be granted, in place of the present ones. A new publisher has none.
    #[schema(value_type = Option<Vec<String>>)]
    imports: Option<BTreeSet<Capability>>,
    /// Capabilities in addition to the present ones.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    add_imports: BTreeSet<Capability>,
    /// Stops the versions that are served now and that the narrower trust no longer covers. Without it, such a request is
    /// refused with 409 and a list of them.
    #[serde(default)]
    stop: bool,
}

/// A field that is in the request, be it `null`.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Publisher {
    pub(crate) fn new(name: String, publisher: control::Publisher) -> Publisher {
        let control::Publisher { keys, names, imports } = publisher;
        Publisher { name, keys: keys.into_iter().map(TrustedKey::from).collect(), names, imports }
    }
}

impl From<control::TrustedKey> for TrustedKey {
    fn from(key: control::TrustedKey) -> TrustedKey {
        let control::TrustedKey { hint, pem, added, not_before, not_after, revoked } = key;
        let now = Timestamp::now();
        let state = match () {
            () if revoked.is_some() => "revoked",
            () if not_before.is_some_and(|from| now < from) => "not yet",
            () if not_after.is_some_and(|until| until < now) => "ended",
            () => "valid",
        };
        TrustedKey { hint, pem, added, not_before, not_after, revoked, state }
    }
}

impl From<TrustRequest> for control::TrustRequest {
    fn from(request: TrustRequest) -> control::TrustRequest {
        let TrustRequest { key, not_before, not_after, names, add_names, imports, add_imports, stop } = request;
        control::TrustRequest { key, not_before, not_after, names, add_names, imports, add_imports, stop }
    }
}
