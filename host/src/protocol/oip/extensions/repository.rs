//! `/v2/repository`: the index of models and versions, and loading and unloading of models.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::catalog::{Entry, Listed, LookupError};
use crate::control::{Control, ControlError, Serving, VersionState, VersionStatus};
use crate::error::ApiError;
use crate::inference::DataPlane;
use crate::inference::call::Client;

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct IndexRequest {
    /// True to list only the versions that are ready.
    pub ready: bool,
}

/// The body of a load request, which may be empty. Any parameter is refused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct LoadRequest {
    pub parameters: BTreeMap<String, Value>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IndexEntry {
    pub name: String,
    pub version: String,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    pub state: &'static str,
    /// The reason why it is unavailable; otherwise empty.
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

/// The entry of a version that is out of service. `None` for one in any other state, such as one that is served.
fn out_of_service(model: &Arc<str>, version: VersionStatus) -> Option<((Arc<str>, Version), IndexEntry)> {
    let reason = match version.state {
        VersionState::Retired => "unloaded".into(),
        VersionState::Inactive => "the model's policy keeps other versions".into(),
        VersionState::Revoked => version.reason?,
        _ => return None,
    };
    let version = version.version;
    let entry = IndexEntry { name: model.to_string(), version: version.to_string(), state: "UNAVAILABLE", reason };
    Some(((model.clone(), version), entry))
}

/// The models of a client's tenant as a repository: what is served is in the data plane, what is stored in `control`.
#[derive(Clone)]
pub struct Repository {
    data_plane: Arc<DataPlane>,
    control: Arc<Control>,
}

impl Repository {
    pub(crate) fn new(data_plane: Arc<DataPlane>, control: Arc<Control>) -> Repository {
        Repository { data_plane, control }
    }

    /// The index: the versions that the client may call, and those of its tenant that are out of service, sorted by name
    /// and version.
    pub(crate) async fn index(&self, client: &Client, request: &IndexRequest) -> Result<Vec<IndexEntry>, ApiError> {
        let mut all = BTreeMap::new();
        if !request.ready {
            let tenant = client.tenant().to_owned();
            for model in self.control.blocking(move |control| Ok(control.models(Some(&tenant)))).await? {
                let name: Arc<str> = model.model.into();
                all.extend(model.versions.into_iter().filter_map(|version| out_of_service(&name, version)));
            }
        }
        let live = self.data_plane.catalog.list(client.tenant()).into_iter();
        let live = live.filter(|listed| !request.ready || listed.entry.ready().is_some());
        all.extend(live.map(|listed| ((listed.model.clone(), listed.version.clone()), listed.into())));
        Ok(all.into_values().collect())
    }

    /// Puts a tenant's model back into service, and waits until all of its versions are ready or one has failed, which is
    /// tried again by the next load. A client cannot send a model or a configuration along, because everything that the host
    /// runs must be signed.
    pub(crate) async fn load(&self, client: &Client, model: &str, request: &LoadRequest) -> Result<(), ApiError> {
        if let Some(parameter) = request.parameters.keys().next() {
            let what = format!("loading a model with the parameter \"{parameter}\"");
            return Err(ApiError::NotSupported { what, instead: "put its configuration and files into a bundle" });
        }
        self.set_serving(client, model, Serving::Resume).await?;
        self.data_plane.catalog.loaded(client.tenant(), model).await?;
        Ok(self.check_served(client, model)?)
    }

    /// Checks that the model answers the client's calls: the tenant's policy, a revocation, or a label or split that names
    /// what is gone may leave nothing that does. Pre-releases answer the calls that name them.
    fn check_served(&self, client: &Client, model: &str) -> Result<(), LookupError> {
        let mut listed = self.data_plane.catalog.list(client.tenant()).into_iter();
        let mut serves = || listed.any(|listed| *listed.model == *model && listed.entry.ready().is_some());
        match self.data_plane.find(client, model, None) {
            Ok(_) | Err(LookupError::OnlyPreReleases { .. }) => Ok(()),
            Err(LookupError::Withheld { .. }) if serves() => Ok(()),
            Err(not_served) => Err(not_served),
        }
    }

    /// Takes a tenant's model out of service, with all of its versions.
    pub(crate) async fn unload(&self, client: &Client, model: &str) -> Result<(), ApiError> {
        self.set_serving(client, model, Serving::Stop).await
    }

    async fn set_serving(&self, client: &Client, model: &str, serving: Serving) -> Result<(), ApiError> {
        client.caller.count_act()?;
        let (who, tenant) = (client.caller.name.clone(), client.tenant().to_owned());
        let name = model.to_owned();
        let done = self.control.blocking(move |control| control.set_serving(&who, &tenant, &name, serving)).await;
        match done {
            Ok(()) => Ok(()),
            // A model that the tenant does not own may still be served: it is shared by another tenant, or from the folder
            // of `--dev`.
            Err(ControlError::NoSuch { .. }) => match self.check_served(client, model) {
                Ok(()) if serving == Serving::Resume => Ok(()),
                Ok(()) => Err(ApiError::NotSupported {
                    what: format!("unloading \"{model}\", which is not a model of your tenant,"),
                    instead: "ask the operator",
                }),
                Err(not_served) => Err(not_served.into()),
            },
            Err(other) => Err(other.into()),
        }
    }
}
