//! `/v2/repository`: what there is, and what is served of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::catalog::{Entry, Listed};
use crate::control::{ControlError, VersionView};
use crate::error::ApiError;
use crate::inference::App;
use crate::inference::call::Client;

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct IndexRequest {
    /// Only what is ready.
    pub ready: bool,
}

/// The body may be empty. What it asks for beside the load itself is refused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct LoadRequest {
    pub parameters: BTreeMap<String, Value>,
}

#[derive(Serialize, ToSchema)]
pub struct IndexEntry {
    pub name: String,
    pub version: String,
    /// `READY` or `UNAVAILABLE`.
    pub state: &'static str,
    /// Why it is not ready.
    pub reason: String,
}

impl From<Listed> for IndexEntry {
    fn from(listed: Listed) -> Self {
        let (state, reason) = match listed.entry {
            Entry::Ready(_) => ("READY", String::new()),
            Entry::Loading => ("LOADING", String::new()),
            Entry::Failed(reason) => ("UNAVAILABLE", reason.to_string()),
        };
        IndexEntry { name: listed.model.to_string(), version: listed.version.to_string(), state, reason }
    }
}

/// A version that could be served and is not; none for one that is, and for one that is gone.
fn out_of_service(model: &Arc<str>, version: VersionView) -> Option<((Arc<str>, Version), IndexEntry)> {
    let reason = match version.state {
        "retired" => "unloaded".into(),
        "inactive" => "the model's policy keeps other versions".into(),
        "revoked" => version.reason?,
        _ => return None,
    };
    let version = version.version;
    let entry = IndexEntry { name: model.to_string(), version: version.to_string(), state: "UNAVAILABLE", reason };
    Some(((model.clone(), version), entry))
}

impl App {
    /// What a client may call, and what of its own tenant was taken out of service, by name and version.
    pub(crate) async fn repository_index(
        &self,
        client: &Client,
        request: &IndexRequest,
    ) -> Result<Vec<IndexEntry>, ApiError> {
        let mut all = BTreeMap::new();
        if !request.ready {
            let tenant = client.tenant().to_owned();
            for model in self.control.blocking(move |control| Ok(control.models(Some(&tenant)))).await? {
                let name: Arc<str> = model.model.into();
                all.extend(model.versions.into_iter().filter_map(|version| out_of_service(&name, version)));
            }
        }
        let live = self.catalog.list(client.tenant()).into_iter();
        let live = live.filter(|listed| !request.ready || listed.entry.ready().is_some());
        all.extend(live.map(|listed| ((listed.model.clone(), listed.version.clone()), listed.into())));
        Ok(all.into_values().collect())
    }

    /// Puts a tenant's model back into service. Clients cannot bring a model or a configuration of their own: what runs
    /// here was signed.
    pub(crate) async fn load_model(&self, client: &Client, model: &str, request: &LoadRequest) -> Result<(), ApiError> {
        if let Some(parameter) = request.parameters.keys().next() {
            let what = format!("loading a model with the parameter \"{parameter}\"");
            return Err(ApiError::NotSupported { what, instead: "make a bundle of it, which says all of it" });
        }
        self.set_loaded(client, model, true).await
    }

    /// Takes a tenant's model out of service, with all its versions.
    pub(crate) async fn unload_model(&self, client: &Client, model: &str) -> Result<(), ApiError> {
        self.set_loaded(client, model, false).await
    }

    async fn set_loaded(&self, client: &Client, model: &str, loaded: bool) -> Result<(), ApiError> {
        let (who, tenant) = (client.caller.name.clone(), client.tenant().to_owned());
        let name = model.to_owned();
        let done = self.control.blocking(move |control| control.set_loaded(&who, &tenant, &name, loaded)).await;
        match done {
            Ok(()) => Ok(()),
            // It may be served all the same: shared by another tenant, or from the folder of `--dev`.
            Err(ControlError::NoSuch { .. }) => match self.find(client, model, None) {
                Ok(_) if loaded => Ok(()),
                Ok(_) => Err(ApiError::NotSupported {
                    what: format!("unloading \"{model}\", which is not a bundle of yours"),
                    instead: "ask the operator",
                }),
                Err(not_served) => Err(not_served.into()),
            },
            Err(other) => Err(other.into()),
        }
    }
}
