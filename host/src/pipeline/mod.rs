//! Pipelines: ordered lists of stages, which clients call models. Mismatches between stages are found when a pipeline is
//! built, so that a run only moves tensors between numbered slots. One stage may be a generator: the pipeline then streams,
//! and the stages after the generator run once for each of its responses.

mod build;
mod error;
mod run;
mod stage;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::scheduler::Placement;
use crate::telemetry::ModelMetrics;
use crate::tenant::Reservation;
use crate::tensor::Signature;

pub use build::{BuildError, StageSource};
pub use error::{RunError, StageError, for_callers};
pub use stage::{Generator, GraphStage, Stage, StageContext, StageRun};

pub struct Pipeline {
    pub model: Arc<str>,
    pub version: Arc<str>,
    pub signature: Signature,
    /// Class labels by the output's name, for outputs whose bundle names the classes.
    pub labels: BTreeMap<String, Labels>,
    /// What its publisher should know, although it could be activated.
    pub warnings: Vec<String>,
    pub metrics: ModelMetrics,
    /// The threads on which a call may begin. `Inline` permits inline execution if recent calls were cheap.
    pub placement: Placement,
    stages: Vec<ConnectedStage>,
    /// Index of the stage that is a generator.
    generator: Option<usize>,
    /// Number of slots for the tensors of a run.
    slots: usize,
    /// Reservation of the memory that the pipeline keeps. It is the last field because fields are dropped in order, and the
    /// memory must be free before the reservation is returned.
    pub resident: Option<Reservation>,
}

/// Names of the classes of an output whose elements are their scores.
pub struct Labels {
    /// Name of the file in the bundle.
    pub file: String,
    /// One name for each score, in their order.
    pub classes: Vec<String>,
}

/// A stage in its place: connected to the tensors of the pipeline.
struct ConnectedStage {
    name: Arc<str>,
    stage: Arc<dyn Stage>,
    /// Slot of each input, in the order of the stage's signature.
    inputs: Vec<Source>,
    /// Slot of each output, in the order of the stage's signature.
    outputs: Vec<usize>,
}

struct Source {
    slot: usize,
    /// True if no later stage reads the slot: the tensor is moved out, and its memory is freed when this stage drops it.
    last_use: bool,
}

impl Pipeline {
    /// True if one request may have any number of responses.
    pub fn streams(&self) -> bool {
        self.generator.is_some()
    }

    /// Names and kinds of the stages, in order.
    pub fn stages(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.stages.iter().map(|stage| (&*stage.name, stage.stage.kind()))
    }
}
