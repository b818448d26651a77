//! A pipeline is an ordered list of stages, and what clients call a model. Whether the stages fit together is found when
//! it is built; a run only moves tensors between numbered slots.

mod build;
mod run;

use std::sync::Arc;

pub use build::{BuildError, StageSource};
pub use run::{RunError, StageError};

use crate::graph::Graph;
use crate::sandbox::Plugin;
use crate::schedule::Begin;
use crate::telemetry::ModelMetrics;
use crate::tensor::Signature;

pub struct Pipeline {
    pub model: Arc<str>,
    pub version: Arc<str>,
    pub signature: Signature,
    pub metrics: ModelMetrics,
    /// Whether a call may begin on the thread of its connection, when those before it were light.
    pub begin: Begin,
    stages: Vec<Stage>,
    /// Tensors that are alive at some time in a run.
    slots: usize,
}

/// What does the work of a stage.
pub enum Runner {
    Plugin(Plugin),
    Graph(Arc<Graph>),
}

/// Operators that are priced in microseconds.
const SMALL_GRAPH: usize = 64;

struct Stage {
    name: Arc<str>,
    runner: Runner,
    /// Where each input of the stage's signature comes from.
    inputs: Vec<Source>,
    /// Where each output of the stage's signature goes.
    outputs: Vec<usize>,
}

struct Source {
    slot: usize,
    /// No later stage reads it: it is moved out, and its memory goes when this stage drops it.
    last_use: bool,
}

impl Runner {
    pub fn signature(&self) -> &Signature {
        match self {
            Runner::Plugin(plugin) => plugin.signature(),
            Runner::Graph(graph) => graph.signature(),
        }
    }

    /// Whether all of its work that takes long can be seen coming, or yields. A graph that a plugin runs does neither, and
    /// one of many operators may take long to price.
    fn gives_way(&self) -> bool {
        match self {
            Runner::Plugin(plugin) => !plugin.runs_graphs(),
            Runner::Graph(graph) => graph.operators() <= SMALL_GRAPH,
        }
    }

    /// In metadata: what the stage is.
    pub fn kind(&self) -> &'static str {
        match self {
            Runner::Plugin(_) => "plugin",
            Runner::Graph(_) => "graph",
        }
    }
}

impl Pipeline {
    /// Names and kinds of the stages, in order.
    pub fn stages(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.stages.iter().map(|stage| (&*stage.name, stage.runner.kind()))
    }
}
