//! What a run costs, known before it starts: fuel from tract's own operator costs, memory from its planned peak. Both
//! depend on the sizes of the dimensions that vary; a few such sizes usually come again and again, and are remembered.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::model::memory::eval_tmp_memory_usage;
use tract_onnx::tract_core::model::order::eval_order;
use tract_onnx::tract_core::ops::konst::Const;

use super::{LoadError, Plan, planning};

/// Sizes that are remembered. More than that come only from a client that varies them on purpose.
const REMEMBERED: usize = 256;

/// A division in units of a multiply-add.
const DIVISION: i64 = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Price {
    /// One unit a multiply-add, or an element that an operator without a declared cost makes.
    pub fuel: u64,
    /// The most bytes that intermediate tensors hold at once.
    pub memory: u64,
}

pub(super) struct PriceList {
    fuel: TDim,
    /// Bytes at each step of the plan, without repetitions.
    memory: Vec<TDim>,
    remembered: ArcSwap<HashMap<Vec<i64>, Price>>,
}

impl PriceList {
    /// Refuses a graph in which anything has a size that the inputs' shapes do not tell: one value of a request could then
    /// make an operator allocate without bound.
    pub fn of(plan: &Arc<Plan>, symbols: &[Vec<Option<Symbol>>]) -> Result<PriceList, LoadError> {
        let model = plan.model();
        let known: Vec<Symbol> = symbols.iter().flatten().flatten().cloned().collect();
        let check = |expression: &TDim, node: usize| match expression.symbols().iter().all(|s| known.contains(s)) {
            true => Ok(()),
            false => Err(LoadError::DataDependent { operator: model.node(node).op().name().into_owned() }),
        };
        let order = eval_order(model).map_err(planning)?;
        let mut fuel = TDim::from(0);
        for node in &order {
            let cost = node_cost(model, *node).map_err(planning)?;
            check(&cost, *node)?;
            fuel += cost;
        }
        let mut memory: Vec<TDim> = Vec::new();
        let steps = eval_tmp_memory_usage(model, &order, |node| !node.op_is::<Const>()).map_err(planning)?;
        for (node, bytes) in steps {
            let bytes = bytes.simplify();
            check(&bytes, node)?;
            if !memory.contains(&bytes) {
                memory.push(bytes);
            }
        }
        Ok(PriceList { fuel: fuel.simplify(), memory: keep_largest_constant(memory), remembered: ArcSwap::default() })
    }

    /// The price for these sizes of the dimensions that vary.
    pub fn price(&self, sizes: &[i64], values: impl FnOnce() -> SymbolValues) -> TractResult<Price> {
        let remembered = self.remembered.load();
        if let Some(price) = remembered.get(sizes) {
            return Ok(*price);
        }
        let price = self.compute(&values())?;
        if remembered.len() < REMEMBERED {
            let mut more = HashMap::clone(&remembered);
            more.insert(sizes.to_vec(), price);
            self.remembered.store(Arc::new(more));
        }
        Ok(price)
    }

    fn compute(&self, values: &SymbolValues) -> TractResult<Price> {
        let fuel = self.fuel.eval_to_i64(values)?;
        let mut memory = 0;
        for bytes in &self.memory {
            memory = memory.max(bytes.eval_to_i64(values)?);
        }
        Ok(Price { fuel: fuel.max(0) as u64, memory: memory.max(0) as u64 })
    }
}

fn node_cost(model: &TypedModel, node: usize) -> TractResult<TDim> {
    let node = model.node(node);
    if node.op_is::<Const>() {
        return Ok(0.into());
    }
    let inputs = model.node_input_facts(node.id)?;
    let declared = node.op.cost(&inputs)?;
    let mut fuel = TDim::from(0);
    for (cost, count) in &declared {
        match cost {
            Cost::Div(_) => fuel += count.clone() * DIVISION,
            cost if cost.is_compute() => fuel += count.clone(),
            _ => {}
        }
    }
    // Moving data is work, too: every element that an operator makes counts at least once.
    for fact in model.node_output_facts(node.id)? {
        fuel += fact.shape.volume();
    }
    Ok(fuel)
}

/// Of the steps that do not depend on any size, only the largest can be the peak.
fn keep_largest_constant(memory: Vec<TDim>) -> Vec<TDim> {
    let (constant, varying): (Vec<TDim>, Vec<TDim>) = memory.into_iter().partition(|bytes| bytes.to_i64().is_ok());
    let largest = constant.into_iter().max_by_key(|bytes| bytes.to_i64().unwrap_or(0));
    varying.into_iter().chain(largest).collect()
}
