//! Bodies of `/v1/models`.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_bundle::Digest;
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalog;
use crate::control::{self, ModelStatus, VersionState, VersionStatus};

/// A tenant's model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    tenant: String,
    model: String,
    /// The version that requests without a version go to if there is no split; a split comes before it.
    #[schema(value_type = Option<String>)]
    serves: Option<Version>,
    /// The error that such requests get, if there is no version for them.
    not_served_because: Option<String>,
    versions: Vec<VersionView>,
    #[serde(flatten)]
    settings: ModelSettings,
}

#[derive(Debug, Serialize, ToSchema)]
struct VersionView {
    #[schema(value_type = String)]
    version: Version,
    bundle: String,
    #[schema(value_type = String)]
    digest: Digest,
    /// `ready`, `loading`, `failed`, `retired`, `inactive` (by the policy), `revoked` or `deleted`.
    state: &'static str,
    reason: Option<String>,
}

/// The settings by which a tenant's model is served.
#[derive(Debug, Serialize, ToSchema)]
struct ModelSettings {
    #[serde(default)]
    routing: Routing,
    #[serde(default)]
    sharing: Sharing,
    #[serde(default)]
    policy: Policy,
    /// The versions that served requests without a version, the latest last; rollback returns to them.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    served: Vec<Version>,
}

/// Rules that choose a version for a request. An operator replaces them as a whole, so no request sees half of a change.
#[derive(Debug, Serialize, ToSchema)]
struct Routing {
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    labels: BTreeMap<String, Version>,
    #[serde(default)]
    split: Option<Split>,
    #[serde(default)]
    shadow: Option<Shadow>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Labelled {
    #[schema(value_type = String)]
    pub version: Version,
}

/// Distribution of requests without a version over versions, by weight.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Split {
    #[schema(value_type = BTreeMap<String, u32>)]
    pub weights: BTreeMap<Version, u32>,
    pub sticky: Sticky,
}

/// Property of a request that decides its version in a split, so that the same caller stays with the same version.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sticky {
    Tenant,
    /// The value of this request header; requests without it are distributed one by one.
    Header(String),
    Nothing,
}

/// A version that gets copies of requests; its responses are compared and never returned.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Shadow {
    #[schema(value_type = String)]
    pub version: Version,
    /// Percentage of requests that are copied.
    pub percent: u8,
}

/// The policy that selects the active versions of a model.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Policy {
    All,
    /// This many of the newest versions, and the pre-releases after the oldest of them.
    Latest(usize),
    #[schema(value_type = Vec<String>)]
    Specific(BTreeSet<Version>),
}

/// Tenants that may call a model besides its owner.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sharing {
    Nobody,
    #[schema(value_type = Vec<String>)]
    Tenants(BTreeSet<String>),
    Everybody,
}

impl From<ModelStatus> for ModelView {
    fn from(status: ModelStatus) -> ModelView {
        let ModelStatus { tenant, model, serves, not_served_because, versions, settings } = status;
        let versions = versions.into_iter().map(VersionView::from).collect();
        ModelView { tenant, model, serves, not_served_because, versions, settings: settings.into() }
    }
}

impl From<VersionStatus> for VersionView {
    fn from(status: VersionStatus) -> VersionView {
        let VersionStatus { version, bundle, digest, state, reason } = status;
        let state = match state {
            VersionState::Ready => "ready",
            VersionState::Loading => "loading",
            VersionState::Failed => "failed",
            VersionState::Retired => "retired",
            VersionState::Inactive => "inactive",
            VersionState::Revoked => "revoked",
            VersionState::Deleted => "deleted",
        };
        VersionView { version, bundle, digest, state, reason }
    }
}

impl From<control::ModelSettings> for ModelSettings {
    fn from(settings: control::ModelSettings) -> ModelSettings {
        let control::ModelSettings { routing, sharing, policy, served } = settings;
        ModelSettings { routing: routing.into(), sharing: sharing.into(), policy: policy.into(), served }
    }
}

impl From<catalog::Routing> for Routing {
    fn from(routing: catalog::Routing) -> Routing {
        let catalog::Routing { labels, split, shadow } = routing;
        Routing { labels, split: split.map(Split::from), shadow: shadow.map(Shadow::from) }
    }
}

impl From<catalog::Split> for Split {
    fn from(split: catalog::Split) -> Split {
        let catalog::Split { weights, sticky } = split;
        Split { weights, sticky: sticky.into() }
    }
}

impl From<Split> for catalog::Split {
    fn from(split: Split) -> catalog::Split {
        let Split { weights, sticky } = split;
        catalog::Split { weights, sticky: sticky.into() }
    }
}

impl From<catalog::Sticky> for Sticky {
    fn from(sticky: catalog::Sticky) -> Sticky {
        match sticky {
            catalog::Sticky::Tenant => Sticky::Tenant,
            catalog::Sticky::Header(name) => Sticky::Header(name),
            catalog::Sticky::Nothing => Sticky::Nothing,
        }
    }
}

impl From<Sticky> for catalog::Sticky {
    fn from(sticky: Sticky) -> catalog::Sticky {
        match sticky {
            Sticky::Tenant => catalog::Sticky::Tenant,
            Sticky::Header(name) => catalog::Sticky::Header(name),
            Sticky::Nothing => catalog::Sticky::Nothing,
        }
    }
}

impl From<catalog::Shadow> for Shadow {
    fn from(shadow: catalog::Shadow) -> Shadow {
        let catalog::Shadow { version, percent } = shadow;
        Shadow { version, percent }
    }
}

impl From<Shadow> for catalog::Shadow {
    fn from(shadow: Shadow) -> catalog::Shadow {
        let Shadow { version, percent } = shadow;
        catalog::Shadow { version, percent }
    }
}

impl From<control::Policy> for Policy {
    fn from(policy: control::Policy) -> Policy {
        match policy {
            control::Policy::All => Policy::All,
            control::Policy::Latest(number) => Policy::Latest(number),
            control::Policy::Specific(versions) => Policy::Specific(versions),
        }
    }
}

impl From<Policy> for control::Policy {
    fn from(policy: Policy) -> control::Policy {
        match policy {
            Policy::All => control::Policy::All,
            Policy::Latest(number) => control::Policy::Latest(number),
            Policy::Specific(versions) => control::Policy::Specific(versions),
        }
    }
}

impl From<catalog::Sharing> for Sharing {
    fn from(sharing: catalog::Sharing) -> Sharing {
        match sharing {
            catalog::Sharing::Nobody => Sharing::Nobody,
            catalog::Sharing::Tenants(tenants) => Sharing::Tenants(tenants),
            catalog::Sharing::Everybody => Sharing::Everybody,
        }
    }
}

impl From<Sharing> for catalog::Sharing {
    fn from(sharing: Sharing) -> catalog::Sharing {
        match sharing {
            Sharing::Nobody => catalog::Sharing::Nobody,
            Sharing::Tenants(tenants) => catalog::Sharing::Tenants(tenants),
            Sharing::Everybody => catalog::Sharing::Everybody,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_has_its_settings_beside_its_versions() {
        let version = Version::new(1, 2, 0);
        let settings = json!({
            "routing": {
                "labels": { "stable": "1.2.0" },
                "split": { "weights": { "1.2.0": 9, "1.3.0": 1 }, "sticky": { "header": "x-user" } },
                "shadow": { "version": "1.3.0", "percent": 10 },
            },
            "sharing": { "tenants": ["lab", "shop"] },
            "policy": { "latest": 2 },
            "served": ["1.1.0"],
        });
        let versions = vec![VersionStatus {
            version: version.clone(),
            bundle: "acme/digits".into(),
            digest: Digest::of(b""),
            state: VersionState::Ready,
            reason: None,
        }];
        let view = ModelView::from(ModelStatus {
            tenant: "shop".into(),
            model: "digits".into(),
            serves: Some(version),
            not_served_because: None,
            versions,
            settings: serde_json::from_value(settings.clone()).unwrap(),
        });
        let mut expected = json!({
            "tenant": "shop",
            "model": "digits",
            "serves": "1.2.0",
            "not_served_because": null,
            "versions": [{
                "version": "1.2.0",
                "bundle": "acme/digits",
                "digest": Digest::of(b"").to_string(),
                "state": "ready",
                "reason": null,
            }],
        });
        expected.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        assert_eq!(serde_json::to_value(view).unwrap(), expected);
    }

    #[test]
    fn a_request_becomes_the_setting_that_it_asks_for() {
        let policy: Policy = serde_json::from_value(json!({ "specific": ["1.0.0"] })).unwrap();
        assert_eq!(control::Policy::from(policy), control::Policy::Specific([Version::new(1, 0, 0)].into()));
        let sharing: Sharing = serde_json::from_value(json!("everybody")).unwrap();
        assert_eq!(catalog::Sharing::from(sharing), catalog::Sharing::Everybody);
        let split = json!({ "weights": { "1.0.0": 1 }, "sticky": "tenant" });
        let split: catalog::Split = serde_json::from_value::<Split>(split).unwrap().into();
        assert_eq!(split.sticky, catalog::Sticky::Tenant);
    }
}
