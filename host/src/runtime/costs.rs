//! The cost of a run, and the memory of costs that were computed before.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Most sizes that are remembered. Only a client that varies its sizes on purpose exceeds this, and the cost of its further
/// sizes is computed for each call.
const REMEMBERED: usize = 256;

/// The cost of a run of a graph, which is charged before the run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// One unit is a multiply-add of a matrix product.
    pub fuel: u64,
    /// Peak of the bytes that intermediate tensors and the operators' own buffers take.
    pub memory: u64,
}

/// Costs by the sizes of the dimensions that vary. Readers take no lock.
#[derive(Default)]
pub(crate) struct RememberedCosts(ArcSwap<HashMap<Vec<i64>, Cost>>);

impl RememberedCosts {
    /// The cost for these sizes, which is computed if it is not remembered.
    pub(crate) fn get_or<E>(&self, sizes: &[i64], compute: impl FnOnce() -> Result<Cost, E>) -> Result<Cost, E> {
        let remembered = self.0.load();
        if let Some(cost) = remembered.get(sizes) {
            return Ok(*cost);
        }
        let cost = compute()?;
        if remembered.len() < REMEMBERED {
            let mut more = HashMap::clone(&remembered);
            more.insert(sizes.to_vec(), cost);
            self.0.store(Arc::new(more));
        }
        Ok(cost)
    }
}
