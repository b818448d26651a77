//! Native inference on the graphs of the plugin's own bundle. The manifest asks for `imports = ["graphs"]`.
//! The cost of a graph is charged to the same fuel, memory and time as the plugin's own work.

use crate::backend::{self, OpenGraph};
use crate::{Failure, Inputs, Outputs, TensorSpec};

/// A loaded graph. Opening is cheap, so open one in `process`: it cannot be kept past the end of `init`.
pub struct Graph(OpenGraph);

impl Graph {
    /// By its name in the manifest.
    pub fn open(name: &str) -> Result<Graph, Failure> {
        backend::open_graph(name).map(Graph).map_err(Failure::Internal)
    }

    pub fn inputs(&self) -> Vec<TensorSpec> {
        self.0.inputs()
    }

    pub fn outputs(&self) -> Vec<TensorSpec> {
        self.0.outputs()
    }

    /// Waits for the result. Reaching a limit of the call ends the whole call, not only this run.
    pub fn run(&self, inputs: Inputs) -> Result<Outputs, Failure> {
        self.0.run(inputs).map_err(Failure::Internal)
    }
}
