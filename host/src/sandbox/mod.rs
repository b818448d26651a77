//! The sandbox, the only module that uses wasmtime. A [`Plugin`] is a compiled, initialised component. Every call of it
//! runs in an instance that no other call has touched, within the call's budget.

mod activate;
mod artifact;
mod bindings;
mod compile;
mod cost;
mod engine;
mod error;
mod host_state;
mod import_names;
mod imports;
mod load_code;
mod plugin;
mod plugin_log;
mod shared;
mod sink;
mod snapshot;
mod teardown;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::runtime::Model;
use crate::tenant::Grants;

pub use compile::{Compile, check_component};
pub use engine::{ACTIVATION_SLOTS, Sandbox};
pub use error::{ActivationError, CallError, EngineError};
pub use plugin::Plugin;
pub use sink::{ResponseSink, SinkError};
pub use teardown::Remains;

/// A plugin as a bundle describes it, before any of its code has run.
pub struct PluginSource {
    /// The model and the stage identify the plugin in log lines.
    pub model: Arc<str>,
    pub stage: Arc<str>,
    /// A portable WebAssembly component.
    pub component: Bytes,
    /// The configuration, passed to `init` as JSON.
    pub config: serde_json::Value,
    /// The way in which an instance gets to the state that `init` leaves.
    pub initialisation: Initialisation,
    pub grants: Grants,
    /// Files that the plugin may read if it was granted assets, by path.
    pub assets: BTreeMap<String, Bytes>,
    /// Graphs that the plugin may run if it was granted graphs, by name.
    pub graphs: BTreeMap<String, Arc<dyn Model>>,
}

/// The way in which a fresh instance gets to the state that `init` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// The state is part of the compiled component.
    Snapshot,
    /// `init` runs again in every instance, which is slow. It serves plugins that draw random numbers in `init`, components
    /// of toolchains that Wizer cannot snapshot, and plugins whose `init` holds a stream because it printed something.
    EveryCall,
}

/// The reason why a plugin that should start from a snapshot runs `init` in every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoSnapshot {
    Component,
    Stream,
    State,
}

impl fmt::Display for NoSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoSnapshot::Component => "components of this form cannot be snapshotted",
            NoSnapshot::Stream => {
                "its init printed something and so holds a stream, which no snapshot can carry; log with the logging import instead"
            }
            NoSnapshot::State => {
                "the state after init cannot be read, for example because its memory cannot grow; the host's log has the cause"
            }
        })
    }
}

/// The value of a request parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

pub type Parameters = Vec<(String, ParameterValue)>;
