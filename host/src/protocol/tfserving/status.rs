//! Which versions of a model there are, and whether they are served.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::number;
use crate::catalog::{Entry, LookupError};
use crate::inference::App;
use crate::inference::call::Client;

/// A version as TensorFlow counts, and why it is not served if it is not.
pub struct VersionStatus {
    pub version: i64,
    pub failed: Option<Arc<str>>,
}

/// Of the version that is asked for, or of all, newest first.
pub fn of(app: &App, client: &Client, model: &str, version: Option<&str>) -> Result<Vec<VersionStatus>, LookupError> {
    if let Some(wanted) = version {
        return match app.find(client, model, Some(wanted)) {
            Ok(pipeline) => Ok(vec![VersionStatus { version: number(&pipeline.version), failed: None }]),
            Err(LookupError::NotActive { version, reason, .. }) => {
                Ok(vec![VersionStatus { version: number(&version), failed: Some(reason) }])
            }
            Err(not_served) => Err(not_served),
        };
    }
    // The newest bundle of each number that is ready stands for it, or else the newest that is not.
    let mut versions: BTreeMap<i64, Option<Arc<str>>> = BTreeMap::new();
    for listed in app.catalog.list(client.tenant()).into_iter().filter(|listed| *listed.model == *model) {
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
        return Err(LookupError::UnknownModel { model: model.to_owned() });
    }
    Ok(versions.into_iter().rev().map(|(version, failed)| VersionStatus { version, failed }).collect())
}
