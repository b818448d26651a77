//! Graphs that tract runs; the only user of tract. A graph is loaded once, and all requests share it without a lock. The
//! cost of each run is charged before it starts, against the same budget as the plugins around it.

mod bodies;
mod convert;
mod cost;
mod load;
mod resident;
pub mod run;
#[cfg(test)]
mod testing;

use tract_onnx::prelude::{Symbol, TractError};
use tract_onnx::tract_core::internal::{TypedFact, TypedOp};
use tract_onnx::tract_core::plan::SimplePlan;

use super::LoadError;
use crate::cache::Digest;
use crate::tensor::Signature;
use cost::CostModel;

pub use run::Charged;

type Plan = SimplePlan<TypedFact, Box<dyn TypedOp>>;

/// A graph that is ready to run.
pub struct Graph {
    signature: Signature,
    plan: std::sync::Arc<Plan>,
    /// For each input of the signature, the symbol behind each dimension that varies.
    symbols: Vec<Vec<Option<Symbol>>>,
    costs: CostModel,
    digest: Digest,
    /// Bytes that the graph keeps in memory.
    resident: u64,
}

impl Graph {
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Bytes that the graph keeps in memory for as long as it is loaded.
    pub fn resident_bytes(&self) -> u64 {
        self.resident
    }

    /// Digest of the graph's file and of the shapes that it was loaded with.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

fn planning(error: TractError) -> LoadError {
    LoadError::Plan(format!("{error:#}"))
}
