//! `/v2/repository`: what there is, and what is served of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::refusal::Problem;
use crate::catalog::{Listed, NotServed};

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
        let (state, reason) = match listed.pipeline {
            Ok(_) => ("READY", String::new()),
            Err(reason) => ("UNAVAILABLE", reason.to_string()),
        };
        IndexEntry { name: listed.model.to_string(), version: listed.version, state, reason }
    }
}

impl App {
    pub fn repository_index(&self, request: &IndexRequest) -> Vec<IndexEntry> {
        let all = self.catalog.all().into_iter();
        all.filter(|listed| !request.ready || listed.pipeline.is_ok()).map(IndexEntry::from).collect()
    }

    /// Makes sure that a model is served. Clients cannot bring a model or a configuration of their own: what runs here was
    /// signed.
    pub async fn load_model(&self, model: &str, request: &LoadRequest) -> Result<(), Problem> {
        if let Some(parameter) = request.parameters.keys().next() {
            let what = format!("loading a model with the parameter \"{parameter}\"");
            return Err(Problem::NotSupported { what, instead: "make a bundle of it, which says all of it" });
        }
        self.catalog.find(model, None).map(drop).map_err(Problem::from)
    }

    /// Takes a model out of service.
    pub async fn unload_model(&self, model: &str) -> Result<(), Problem> {
        match self.catalog.find(model, None) {
            Err(unknown @ NotServed::UnknownModel { .. }) => Err(unknown.into()),
            _ => Err(Problem::NotSupported {
                what: format!("unloading \"{model}\", which is served from the operator's folder"),
                instead: "ask the operator to take it out of the folder and to start the host again",
            }),
        }
    }
}
