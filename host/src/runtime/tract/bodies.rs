//! Bodies of `Scan` and `If` that check the call's deadline before each evaluation. tract evaluates a body inside one
//! operator, where the loop over the outer operators cannot check the clock.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::logic::IfThenElse;
use tract_onnx::tract_core::ops::scan::OptScan;
use tract_onnx::tract_core::plan::{SimplePlan, TurnStateHandler};

use super::{Plan, correct, simplify};

thread_local! {
    /// Deadline of the run that this thread evaluates. It is a thread-local, because tract gives a body no access to the
    /// run that it is part of.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Sets the deadline for the bodies of one run on this thread, and clears it when dropped.
pub(crate) struct Deadline;

impl Deadline {
    pub(super) fn set(deadline: Instant) -> Deadline {
        DEADLINE.set(Some(deadline));
        Deadline
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        DEADLINE.set(None);
    }
}

/// Ends an evaluation whose deadline has passed. The code that runs the graph checks the clock again, and reports the
/// limit.
#[derive(Debug)]
struct CheckDeadline;

impl TurnStateHandler for CheckDeadline {
    fn before_plan_eval(&self, _: &mut TurnState) -> TractResult<()> {
        match DEADLINE.get() {
            Some(deadline) if Instant::now() >= deadline => bail!("the deadline has passed"),
            _ => Ok(()),
        }
    }

    fn after_plan_eval(&self, _: &mut TurnState) -> TractResult<()> {
        Ok(())
    }
}

/// Adds the check of the deadline to every body of a model that is ready to be planned, nested bodies included, and corrects
/// the operators of all of them.
pub(crate) fn bound(model: &mut TypedModel) -> TractResult<()> {
    correct::optimized(model)?;
    for node in model.nodes_mut() {
        if let Some(scan) = node.op_as::<OptScan>() {
            let plan = plan_body(TypedModel::clone(scan.plan.model()))?;
            // The type of the parameters has no public name.
            let mut parameters = (**scan).clone();
            parameters.plan = plan;
            node.op = Box::new(OptScan::new(Arc::new(parameters)));
        } else if let Some(both) = node.op_as::<IfThenElse>() {
            let branch = |body: &TypedModel, inputs: &[usize]| -> TractResult<Branch> {
                Ok(Branch { plan: plan_body(simplify::optimize(body.clone())?)?, inputs: inputs.to_vec() })
            };
            let then = branch(&both.then_body, &both.then_input_mapping)?;
            let otherwise = branch(&both.else_body, &both.else_input_mapping)?;
            node.op = Box::new(Branches { then, otherwise });
        }
    }
    Ok(())
}

fn plan_body(mut body: TypedModel) -> TractResult<Arc<Plan>> {
    bound(&mut body)?;
    let plan = SimplePlan::build(body, &RunOptions::default())?;
    Ok(Arc::new(plan.with_turn_handler(CheckDeadline)))
}

/// `If` with branches that were planned when the graph was loaded; tract's own operator plans a branch in each evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Branches {
    then: Branch,
    otherwise: Branch,
}

#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub plan: Arc<Plan>,
    /// For each input of the branch, the index of the operator's input that it receives.
    pub inputs: Vec<usize>,
}

impl Branches {
    pub(super) fn both(&self) -> [&Branch; 2] {
        [&self.then, &self.otherwise]
    }
}

impl PartialEq for Branches {
    fn eq(&self, _: &Branches) -> bool {
        false
    }
}

impl Eq for Branches {}

impl Op for Branches {
    fn name(&self) -> StaticName {
        "If".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Branches {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let branch = if inputs[0].cast_to_scalar::<bool>()? { &self.then } else { &self.otherwise };
        branch.plan.run(branch.inputs.iter().map(|at| inputs[*at].clone()).collect())
    }
}

impl TypedOp for Branches {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let model = self.then.plan.model();
        model.output_outlets()?.iter().map(|outlet| Ok(model.outlet_fact(*outlet)?.without_value())).collect()
    }

    as_op!();
}
