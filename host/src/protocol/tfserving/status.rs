//! The status of a model's versions, which the REST API and the gRPC service report.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::signature::number;
use crate::catalog::{Entry, LookupError};
use crate::inference::DataPlane;
use crate::inference::call::Client;

/// A version by its number, and the reason why it is not served, if it is not.
pub struct VersionStatus {
    pub version: i64,
    pub failed: Option<Arc<str>>,
}

/// The status of the requested version, or of all versions, newest first.
pub(super) fn of(
    data_plane: &DataPlane,
    client: &Client,
    model: &str,
    version: Option<&str>,
) -> Result<Vec<VersionStatus>, LookupError> {
    if let Some(wanted) = version {
        return match data_plane.find(client, model, Some(wanted)) {
            Ok(pipeline) => Ok(vec![VersionStatus { version: number(&pipeline.version), failed: None }]),
            Err(LookupError::NotActive { version, reason, .. }) => {
                Ok(vec![VersionStatus { version: number(&version), failed: Some(reason) }])
            }
            Err(not_served) => Err(not_served),
        };
    }
    // Each number stands for its newest version that is ready, or else for the newest that is not.
    let mut versions: BTreeMap<i64, Option<Arc<str>>> = BTreeMap::new();
    for listed in data_plane.catalog.list(client.tenant()).into_iter().filter(|listed| *listed.model == *model) {
        let number = i64::try_from(listed.version.major).unwrap_or(i64::MAX);
        let failed = match listed.entry {
            Entry::Ready(_) => None,
            Entry::Loading => Some("it is being loaded".into()),
            Entry::Failed(reason) => Some(reason),
        };
        if failed.is_none() || !matches!(versions.get(&number), Some(None)) {
            versions.insert(number, failed);
        }
    }
    if versions.is_empty() {
        // Nothing of it is left, and a call says why.
        let found = data_plane.find(client, model, None);
        return Err(found.err().unwrap_or_else(|| LookupError::UnknownModel { model: model.to_owned() }));
    }
    Ok(versions.into_iter().rev().map(|(version, failed)| VersionStatus { version, failed }).collect())
}
