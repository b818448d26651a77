//! Graphs: model files that run natively. The only user of tract. A graph is loaded once and shared by all requests
//! without a lock; the cost of each run is charged before it starts, against the same budget as the plugins around it.

mod bodies;
mod convert;
mod cost;
mod load;
mod resident;
mod run;
#[cfg(test)]
mod testing;
mod untrusted;

use std::collections::BTreeMap;

use tract_onnx::prelude::{Symbol, TractError};
use tract_onnx::tract_core::internal::{TypedFact, TypedOp};
use tract_onnx::tract_core::plan::SimplePlan;

use crate::cache::Digest;
use crate::tenant::{Exceeded, NotResident};
use crate::tensor::{Datatype, Misfit, Signature};
use crate::worker::WorkerError;
use cost::CostModel;

pub use run::Charged;
pub use untrusted::TryGraph;

type Plan = SimplePlan<TypedFact, Box<dyn TypedOp>>;

/// A graph that is ready to run.
pub struct Graph {
    signature: Signature,
    plan: std::sync::Arc<Plan>,
    /// For each input of the signature, the symbol behind each dimension that varies.
    symbols: Vec<Vec<Option<Symbol>>>,
    costs: CostModel,
    digest: Digest,
    /// Bytes that it keeps in memory.
    resident: u64,
}

/// Shapes that the manifest gives to inputs whose own are not enough; -1 varies.
pub type InputShapes = BTreeMap<String, Vec<i64>>;

/// A model file cannot be used. The texts are for whoever made or uploaded the bundle.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("it is not a readable ONNX file: {0}")]
    Unreadable(String),
    #[error("it uses operators that this host does not have: {0}")]
    UnknownOperators(String),
    #[error("the manifest gives a shape to input \"{name}\", and the graph has: {known}")]
    UnknownInput { name: String, known: String },
    #[error(
        "input \"{name}\" has a rank that the file does not tell: give it one in the manifest, inputs = {{ {name} = [-1, …] }}"
    )]
    UnknownRank { name: String },
    #[error("{what} \"{name}\" has element type {element}, which clients cannot exchange")]
    ElementType { what: &'static str, name: String, element: String },
    #[error(
        "operator {operator} makes a tensor whose size depends on the values of others, and its cost cannot be known before it runs"
    )]
    DataDependent { operator: String },
    #[error(
        "operator {operator} (node \"{node}\") has no known cost, and so no limit could hold it; the host does not run it"
    )]
    NoCost { operator: String, node: String },
    #[error("it cannot be planned: {0}")]
    Plan(String),
    #[error("its loader failed on it, which a good file never makes it do")]
    Panicked,
    /// What a child that tried it said: one of the texts above.
    #[error("{0}")]
    Refused(String),
    #[error("loading it {0}")]
    Worker(#[from] WorkerError),
    #[error("{0}")]
    NotResident(#[from] NotResident),
}

/// A run gave no result. The texts complete "the graph …".
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("cannot take its inputs: {0}")]
    Input(#[from] Misfit),
    #[error("{0}")]
    Exceeded(#[from] Exceeded),
    #[error("failed: {0}")]
    Failed(String),
    #[error("gave {element} for output \"{name}\", declared as {declared}")]
    Output { name: String, element: String, declared: Datatype },
}

impl Graph {
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Bytes that it keeps in memory for as long as it is loaded.
    pub fn resident_bytes(&self) -> u64 {
        self.resident
    }

    /// Of its file and the shapes that it was loaded with.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

fn planning(error: TractError) -> LoadError {
    LoadError::Plan(format!("{error:#}"))
}
