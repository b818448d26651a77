//! Simplification of a graph, and the choice of kernels for it. Both rewrite the graph until no rule applies. For some graphs
//! one always does, because two rules undo each other, so the number of rewrites is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::TypedModelPatch;
use tract_onnx::tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

/// Rewrites that every graph may take, and those that it may take for each of its operators. Graphs whose simplification
/// ends take about one for each operator, those in the bodies of loops included.
const REWRITES: usize = 2_000;
const REWRITES_PER_OPERATOR: usize = 16;

/// The graph took all of its rewrites.
#[derive(Debug, thiserror::Error)]
#[error("no end after {rewrites} rewrites")]
pub(super) struct Endless {
    pub rewrites: usize,
}

/// Simplifies a graph and chooses its kernels. Fails with [`Endless`] if that takes too many rewrites.
pub(super) fn optimize(mut model: TypedModel) -> TractResult<TypedModel> {
    let rewrites = REWRITES + REWRITES_PER_OPERATOR * model.nodes().len();
    bounded(Optimizer::declutter(), rewrites).optimize(&mut model)?;
    model.optimize_with_session(&mut bounded(Optimizer::codegen(), rewrites).session())?;
    Ok(model)
}

/// The same optimizer, whose passes together make at most so many rewrites, those in bodies included.
fn bounded(mut optimizer: Optimizer, rewrites: usize) -> Optimizer {
    let left = Arc::new(AtomicUsize::new(rewrites));
    let bound = |pass| -> Box<dyn TypedPass> { Box::new(Bounded { pass, left: left.clone(), rewrites }) };
    optimizer.passes = optimizer.passes.into_iter().map(bound).collect();
    optimizer
}

#[derive(Clone, Debug)]
struct Bounded {
    pass: Box<dyn TypedPass>,
    left: Arc<AtomicUsize>,
    rewrites: usize,
}

impl TypedPass for Bounded {
    fn reset(&mut self) -> TractResult<()> {
        self.pass.reset()
    }

    fn next(&mut self, session: &mut OptimizerSession, model: &TypedModel) -> TractResult<Option<TypedModelPatch>> {
        let patch = self.pass.next(session, model)?;
        if patch.is_some() && self.left.fetch_sub(1, Ordering::Relaxed) <= 1 {
            return Err(Endless { rewrites: self.rewrites }.into());
        }
        Ok(patch)
    }

    fn run_direct(&mut self, model: &mut TypedModel) -> TractResult<bool> {
        self.pass.run_direct(model)
    }
}
