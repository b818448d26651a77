//! A pipeline is an ordered list of stages, and what clients call a model. Whether the stages fit together is found when
//! it is built; a run only moves tensors between numbered slots. One of the stages may be a generator: then the pipeline
//! streams, and what stands behind it runs once for each of its answers.

mod build;
mod run;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::runtime::Graph;
use crate::sandbox::Plugin;
use crate::scheduler::Placement;
use crate::telemetry::ModelMetrics;
use crate::tenant::Reservation;
use crate::tensor::Signature;

pub use build::{BuildError, StageSource};
pub use run::{RunError, StageError};

pub struct Pipeline {
    pub model: Arc<str>,
    pub version: Arc<str>,
    pub signature: Signature,
    /// Of outputs whose bundle names them.
    pub labels: BTreeMap<String, Labels>,
    pub metrics: ModelMetrics,
    /// Whether a call may begin on the thread of its connection, when those before it were light.
    pub placement: Placement,
    stages: Vec<Stage>,
    /// Which of the stages is a generator.
    generator: Option<usize>,
    /// Tensors that are alive at some time in a run.
    slots: usize,
    /// The memory that all of this holds, counted until it is dropped: the last field, because it is given back last.
    pub resident: Option<Reservation>,
}

/// What the classes of an output are called, whose elements are their scores.
pub struct Labels {
    /// As the bundle calls it.
    pub file: String,
    /// In the order of the scores.
    pub classes: Vec<String>,
}

/// What does the work of a stage.
pub enum Runner {
    /// Shared with other stages of the same plugin.
    Plugin(Arc<Plugin>),
    Graph(Arc<Graph>),
}

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

    /// Whether it may have any number of answers.
    pub fn streams(&self) -> bool {
        matches!(self, Runner::Plugin(plugin) if plugin.streams())
    }

    /// Whether it can be stopped at the end of a time slice. A graph cannot be stopped inside of an operator.
    fn gives_way(&self) -> bool {
        matches!(self, Runner::Plugin(plugin) if !plugin.runs_graphs())
    }

    /// In metadata: what the stage is.
    pub fn kind(&self) -> &'static str {
        match self {
            Runner::Plugin(plugin) if plugin.streams() => "generator",
            Runner::Plugin(_) => "plugin",
            Runner::Graph(_) => "graph",
        }
    }
}

impl Pipeline {
    /// Whether one request may have any number of answers.
    pub fn streams(&self) -> bool {
        self.generator.is_some()
    }

    /// Names and kinds of the stages, in order.
    pub fn stages(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.stages.iter().map(|stage| (&*stage.name, stage.runner.kind()))
    }
}
