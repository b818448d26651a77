//! Runs of a graph. A run checks the inputs, charges the cost, and evaluates operator by operator; it checks the deadline
//! before each operator and after the last.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::{SimpleState, eval};

use super::Graph;
use super::bodies::Deadline;
use super::convert::{self, ResultBytes};
use super::correct::BadValue;
use crate::runtime::{Cost, GraphError};
use crate::tenant::{Budget, Charge};
use crate::tensor::{self, NamedTensors, Tensor as NamedTensor, TensorSpec};

/// A run whose cost was charged, and that has not begun.
pub(super) struct Charged<'a> {
    graph: &'a Graph,
    inputs: NamedTensors,
    planned: Charge,
}

impl Graph {
    /// Checks the inputs, and charges the fuel and the memory that their run will use.
    pub(super) fn charge(&self, inputs: NamedTensors, budget: &mut Budget) -> Result<Charged<'_>, GraphError> {
        let inputs = tensor::bind_tensors(&self.signature.inputs, inputs)?;
        tensor::check_extents(&inputs, budget.memory_limit())?;
        let shapes: Vec<&[u64]> = inputs.iter().map(|(_, tensor)| tensor.shape()).collect();
        let cost = self.cost_of(&shapes)?;
        budget.charge_fuel(cost.fuel)?;
        let planned = budget.charge_memory(cost.memory)?;
        Ok(Charged { graph: self, inputs, planned })
    }

    pub(super) fn cost_of(&self, shapes: &[&[u64]]) -> Result<Cost, GraphError> {
        let sizes = self.sizes(shapes);
        self.costs.cost(&sizes, || self.symbol_values(&sizes)).map_err(failed)
    }

    fn evaluate(&self, inputs: NamedTensors, budget: &mut Budget) -> Result<TVec<TValue>, GraphError> {
        let to_tract = |(_, tensor): (Arc<str>, NamedTensor)| convert::to_tract(&tensor).map(Tensor::into_tvalue);
        let inputs: TVec<TValue> = inputs.into_iter().map(to_tract).collect::<TractResult<_>>().map_err(failed)?;
        let mut state = SimpleState::new(&self.plan).map_err(failed)?;
        let _deadline = Deadline::set(budget.clock().deadline());
        let result = state.run_plan_with_eval(inputs, |context, state, node, inputs| -> TractResult<TVec<TValue>> {
            budget.check_time()?;
            eval(context, state, node, inputs)
        });
        // The last operator, or a body inside it, may have passed the deadline; the run then has no result.
        budget.check_time()?;
        result.map_err(failed)
    }

    /// The sizes of the dimensions that vary, in the order of inputs and dimensions.
    fn sizes(&self, shapes: &[&[u64]]) -> Vec<i64> {
        let of_input = |(symbols, shape): (&Vec<Option<Symbol>>, &&[u64])| {
            let sizes = symbols.iter().zip(shape.to_vec());
            sizes.filter(|(symbol, _)| symbol.is_some()).map(|(_, size)| size.cast_signed()).collect::<Vec<i64>>()
        };
        self.symbols.iter().zip(shapes).flat_map(of_input).collect()
    }

    fn symbol_values(&self, sizes: &[i64]) -> SymbolValues {
        let mut values = SymbolValues::default();
        for (symbol, size) in self.symbols.iter().flatten().flatten().zip(sizes) {
            values.set(symbol, *size);
        }
        values
    }
}

impl Charged<'_> {
    /// Runs the graph, and blocks the thread until the result is there, a limit is reached, or an operator fails.
    pub(super) fn run(self, budget: &mut Budget) -> Result<NamedTensors, GraphError> {
        let Charged { graph, inputs, planned, .. } = self;
        // Clients' data can make an operator panic, for example by an index beyond a table. The panic drops the state of
        // the run.
        let result = catch_unwind(AssertUnwindSafe(|| graph.evaluate(inputs, budget)));
        let result = result.unwrap_or_else(|_| Err(GraphError::Failed("an operator panicked on these inputs".into())));
        drop(planned);
        result?.into_iter().zip(&graph.signature.outputs).map(|(value, spec)| output(value, spec, budget)).collect()
    }
}

fn failed(error: TractError) -> GraphError {
    match error.chain().find_map(|cause| cause.downcast_ref::<BadValue>()) {
        Some(value) => GraphError::Value(value.to_string()),
        None => GraphError::Failed(format!("{error:#}")),
    }
}

fn output(value: TValue, spec: &TensorSpec, budget: &Budget) -> Result<(Arc<str>, NamedTensor), GraphError> {
    let value = value.into_arc_tensor();
    let datatype = convert::datatype(value.datum_type()).filter(|datatype| *datatype == spec.datatype);
    let datatype = datatype.ok_or_else(|| GraphError::Output {
        name: spec.name.to_string(),
        element: format!("{:?}", value.datum_type()),
        declared: spec.datatype,
    })?;
    let shape = value.shape().iter().map(|dimension| *dimension as u64).collect();
    let bytes = budget.hold(ResultBytes(value))?;
    let tensor = NamedTensor::new(datatype, shape, bytes).map_err(|error| GraphError::Failed(error.to_string()))?;
    Ok((spec.name.clone(), tensor))
}
