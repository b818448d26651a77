//! Graphs that tract runs; the only user of tract. A graph is loaded once, and all requests share it without a lock. The
//! cost of each run is charged before it starts, against the same budget as the plugins around it.

mod bodies;
#[cfg(test)]
mod conformance;
mod convert;
mod correct;
mod cost;
mod load;
mod onnx;
mod resident;
mod run;
mod simplify;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use bulkhead_digest::Digest;
use tract_onnx::prelude::{Symbol, TractError};
use tract_onnx::tract_core::internal::{TypedFact, TypedOp};
use tract_onnx::tract_core::plan::SimplePlan;

use super::{Cost, GraphError, InputShapes, LoadError, Model, Runtime};
use crate::tenant::Budget;
use crate::tensor::{NamedTensors, Signature};
use cost::CostModel;
use simplify::Endless;

type Plan = SimplePlan<TypedFact, Box<dyn TypedOp>>;

/// tract, as the runtime of ONNX files.
pub(super) struct Tract;

impl Runtime for Tract {
    fn load(&self, bytes: &[u8], shapes: &InputShapes) -> Result<Arc<dyn Model>, LoadError> {
        Ok(Arc::new(load::load_onnx(bytes, shapes)?))
    }
}

/// A planned graph.
struct Graph {
    signature: Signature,
    plan: Arc<Plan>,
    /// For each input of the signature, the symbol behind each dimension that varies.
    symbols: Vec<Vec<Option<Symbol>>>,
    costs: CostModel,
    digest: Digest,
    /// Bytes that the graph keeps in memory.
    resident: u64,
}

impl Model for Graph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn resident_bytes(&self) -> u64 {
        self.resident
    }

    fn cost(&self, shapes: &[&[u64]], _: &Budget) -> Result<Cost, GraphError> {
        self.cost_of(shapes)
    }

    /// The cost is charged before the run: no run starts that its budget cannot pay.
    fn run(&self, inputs: NamedTensors, budget: &mut Budget) -> Result<NamedTensors, GraphError> {
        self.charge(inputs, budget)?.run(budget)
    }
}

fn planning(error: TractError) -> LoadError {
    match error.downcast_ref::<Endless>() {
        Some(Endless { rewrites }) => LoadError::Endless { rewrites: *rewrites },
        None => LoadError::Plan(format!("{error:#}")),
    }
}
