//! Native graphs: model files that run without a sandbox. The rest of the host knows them as a [`Model`], which a
//! [`Runtime`] loads from a file; tract is the only runtime today. An untrusted file is loaded in a child process first, and
//! then in the runner of its tenant, or in this process.

mod costs;
mod digest;
#[cfg(test)]
pub(crate) mod echo;
mod isolated_load;
mod runner;
mod tract;

use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_digest::Digest;

use crate::tenant::{Budget, Exceeded, NotResident};
use crate::tensor::{Datatype, NamedTensors, Signature, SpecMismatch};
use crate::worker::WorkerError;

pub use costs::Cost;
pub use isolated_load::{TryGraph, load_untrusted};
pub use runner::{RunnerLimits, Runners, run_graphs};

/// A graph that is ready to run. All requests share it, so a run changes nothing in it.
pub trait Model: Send + Sync {
    /// The inputs that a run takes and the outputs that it gives, in this order.
    fn signature(&self) -> &Signature;

    /// Digest of the graph's file and of the shapes that it was loaded with.
    fn digest(&self) -> &Digest;

    /// Bytes that the graph keeps in memory for as long as it is loaded.
    fn resident_bytes(&self) -> u64;

    /// The cost of a run with inputs of these shapes, in the order of the signature. It is found within the time of the
    /// budget, and not charged.
    fn cost(&self, shapes: &[&[u64]], budget: &Budget) -> Result<Cost, GraphError>;

    /// Runs the graph, and blocks the thread until the result is there, a limit is reached, or an operator fails.
    ///
    /// The budget is the meter: the implementation charges fuel and memory to it, before the run where they are known, and
    /// looks at its time as often as it can.
    fn run(&self, inputs: NamedTensors, budget: &mut Budget) -> Result<NamedTensors, GraphError>;
}

/// A library that runs model files.
pub trait Runtime: Send + Sync {
    /// Loads a file in this process, where an untrusted file can take more memory than there is. It is for files that a
    /// child has loaded, and for the caller's own. A large file takes long, so this must not be called on the path of a
    /// request.
    fn load(&self, bytes: &[u8], shapes: &InputShapes) -> Result<Arc<dyn Model>, LoadError>;
}

/// The runtime of ONNX files.
pub fn onnx() -> &'static dyn Runtime {
    &tract::Tract
}

/// Shapes that the manifest gives to inputs whose shapes in the file are not sufficient; -1 is a dimension that varies.
pub type InputShapes = BTreeMap<String, Vec<i64>>;

/// A model file that cannot be used. The texts are for the publisher that made the bundle, and the client that uploaded it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("it is not a readable ONNX file: {0}")]
    Unreadable(String),
    #[error("it uses operators that this host does not have: {0}")]
    UnknownOperators(String),
    #[error(
        "it uses version {version} of ONNX's operators, and this host has {first} to {last}; export it for one of these"
    )]
    Opset { version: i64, first: i64, last: i64 },
    #[error(
        "operator {operator} (node \"{node}\") has attribute {attribute} = {value}, which this host does not compute; \
         export the model without it"
    )]
    Attribute { operator: String, node: String, attribute: String, value: String },
    #[error("weight \"{name}\" is in another file; save the model as one file")]
    ExternalWeight { name: String },
    #[error("input \"{name}\" has no elements to reduce: its dimension {axis} is 0")]
    EmptyInput { name: String, axis: usize },
    #[error("operator {operator} (node \"{node}\") {why}")]
    Operator { operator: String, node: String, why: &'static str },
    #[error("the manifest gives a shape to input \"{name}\", and the graph has: {known}")]
    UnknownInput { name: String, known: String },
    #[error(
        "the file does not give the rank of input \"{name}\": give its shape in the manifest, inputs = {{ {name} = [-1, …] }}"
    )]
    UnknownRank { name: String },
    #[error("{what} \"{name}\" has element type {element}, which clients cannot exchange")]
    ElementType { what: &'static str, name: String, element: String },
    #[error(
        "operator {operator} makes a tensor whose size depends on the values of others, and its cost cannot be known before it runs"
    )]
    DataDependent { operator: String },
    #[error(
        "operator {operator} (node \"{node}\") has no known cost, so no limit could bound it, and the host does not run it"
    )]
    NoCost { operator: String, node: String },
    #[error("it cannot be planned: {0}")]
    Plan(String),
    #[error("{error}. It can be served for known sizes: give them in the manifest, for example inputs = {inputs}")]
    OnlyKnownSizes { error: String, inputs: String },
    #[error(
        "simplifying it took {rewrites} rewrites, which is the bound, and did not come to an end: rewrites undo each other, as those of the axes around a loop can (Scan, LSTM, GRU, RNN); export it with fewer changes of axes around its loops"
    )]
    Endless { rewrites: usize },
    #[error("its loader panicked, which a valid file never causes")]
    Panicked,
    /// The error that a child reported: one of the texts above.
    #[error("{0}")]
    Refused(String),
    #[error("loading it {0}")]
    Worker(#[from] WorkerError),
    #[error("{0}")]
    NotResident(#[from] NotResident),
    #[error("the process that runs the tenant's graphs ended while it loaded it ({0})")]
    Ended(&'static str),
    #[error("it could not be given to a process that runs graphs: {0}")]
    Kept(std::io::Error),
}

/// A run that gave no result. The texts complete "the graph …".
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("cannot take its inputs: {0}")]
    Input(#[from] SpecMismatch),
    #[error("{0}")]
    Exceeded(#[from] Exceeded),
    #[error("cannot compute these inputs: {0}")]
    Value(String),
    #[error("failed: {0}")]
    Failed(String),
    #[error("gave {element} for output \"{name}\", declared as {declared}")]
    Output { name: String, element: String, declared: Datatype },
}
