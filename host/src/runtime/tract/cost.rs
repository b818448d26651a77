//! Cost of a run, which is known before the run starts: fuel from a cost that this host gives to every operator
//! (`operators`), and memory from the tensors that are alive at each step of the plan. Both depend on the sizes of the
//! dimensions that vary, and are remembered for sizes that were seen before.

#[cfg(test)]
mod cases;
mod memory;
mod operators;
mod region;
mod trees;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::Plan;
use crate::runtime::LoadError;
pub(crate) use crate::runtime::costs::Cost;
use crate::runtime::costs::RememberedCosts;
use region::{Expressions, Region};

/// The costs of one graph, for all sizes of its inputs.
pub(crate) struct CostModel {
    /// Every dimension that the costs depend on, each once.
    dimensions: Vec<TDim>,
    region: Region,
    remembered: RememberedCosts,
}

impl CostModel {
    /// The costs of a plan. Fails for an operator that has no cost, and for a graph in which any size depends on the values
    /// of a tensor: one value of a request could then make an operator allocate without bound.
    pub(super) fn of(plan: &Plan, symbols: &[Vec<Option<Symbol>>]) -> Result<CostModel, LoadError> {
        let mut expressions = Expressions::new(symbols.iter().flatten().flatten());
        let region = Region::of(plan, &HashMap::new(), &mut expressions)?;
        Ok(CostModel { dimensions: expressions.into_dimensions(), region, remembered: RememberedCosts::default() })
    }

    /// The cost for these sizes of the dimensions that vary.
    pub(super) fn cost(&self, sizes: &[i64], values: impl FnOnce() -> SymbolValues) -> TractResult<Cost> {
        self.remembered.get_or(sizes, || self.evaluate(&values()))
    }

    fn evaluate(&self, values: &SymbolValues) -> TractResult<Cost> {
        let mut sizes = Vec::with_capacity(self.dimensions.len());
        for dimension in &self.dimensions {
            let size = dimension.eval_to_i64(values)?;
            let negative = |_| format_err!("these inputs make a dimension negative ({size})");
            sizes.push(u64::try_from(size).map_err(negative)?);
        }
        Ok(self.region.cost(&sizes))
    }
}
