//! The sandbox: the only user of wasmtime. A [`Plugin`] is a compiled, initialised component; every call of it runs in an
//! instance that no other call has touched, within the call's budget.

mod activate;
mod compile;
mod compiled;
mod contract;
mod emitter;
mod engine;
mod error;
mod graphs;
mod instance;
mod plugin;
mod remains;
mod saved;
mod snapshot;
mod stdio;
mod tensors;
mod wasi;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

pub use activate::Initialisation;
pub use compile::Compile;
pub use emitter::{Sink, SinkError};
pub use engine::{ACTIVATION_SLOTS, Sandbox};
pub use error::{ActivationError, CallError, EngineError};
pub use plugin::Plugin;
pub use remains::Remains;

use crate::graph::Graph;
use crate::tenant::Grants;

/// A plugin as a bundle describes it, before anything of it has run.
pub struct PluginSource {
    /// How log lines name it.
    pub model: Arc<str>,
    pub stage: Arc<str>,
    /// A portable WebAssembly component.
    pub component: Bytes,
    /// Given to `init`.
    pub config: serde_json::Value,
    /// How each instance gets to the state that `init` leaves.
    pub initialisation: Initialisation,
    pub grants: Grants,
    /// Files that it may read, by path, if it was granted assets.
    pub assets: BTreeMap<String, Bytes>,
    /// Graphs that it may run, by name, if it was granted graphs.
    pub graphs: BTreeMap<String, Arc<Graph>>,
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
