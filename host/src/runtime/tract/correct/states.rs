//! Operators that recurrent networks are rewritten with.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{Solver, TensorProxy};
use tract_onnx::tract_hir::internal::{
    Expansion, InferenceResult, InferenceRulesOp, check_input_arity, check_output_arity,
};
use tract_onnx::tract_hir::to_typed;

/// An operator whose result has the shape and the datatype of its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SameShape {
    /// The elements along an axis in the reverse order. A negative axis counts from the last.
    ReverseAxis { axis: i64 },
    /// The initial cell state of an LSTM, as it is. tract makes one input of two that are equal, also where they are states
    /// that a loop changes: the hidden state and the cell state then share their values.
    CellState,
}

impl SameShape {
    pub(super) const REVERSE_AXIS: &'static str = "ReverseAxis";
    pub(super) const CELL_STATE: &'static str = "CellState";
}

fn position(axis: i64, rank: usize) -> TractResult<usize> {
    let from_start = if axis < 0 { axis + i64::try_from(rank)? } else { axis };
    let position = usize::try_from(from_start).ok().filter(|position| *position < rank);
    position.with_context(|| format!("there is no axis {axis} in a tensor of rank {rank}"))
}

fn reversed<T: Datum>(tensor: &Tensor, axis: usize) -> TractResult<Tensor> {
    let mut view = tensor.to_plain_array_view::<T>()?;
    view.invert_axis(tract_ndarray::Axis(axis));
    Ok(view.to_owned().into_tensor())
}

impl Op for SameShape {
    fn name(&self) -> StaticName {
        match self {
            SameShape::ReverseAxis { .. } => SameShape::REVERSE_AXIS.into(),
            SameShape::CellState => SameShape::CELL_STATE.into(),
        }
    }

    op_as_typed_op!();
}

impl EvalOp for SameShape {
    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let SameShape::ReverseAxis { axis } = self else { return Ok(inputs) };
        let axis = position(*axis, inputs[0].rank())?;
        Ok(tvec!(dispatch_datum!(reversed(inputs[0].datum_type())(&inputs[0], axis))?.into_tvalue()))
    }

    /// A cell state is not computed while a graph is loaded, so that it stays an input of its own.
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        match self {
            SameShape::ReverseAxis { .. } => self.eval(&EvalContext::out_of_plan(), inputs).map(Some),
            SameShape::CellState => Ok(None),
        }
    }
}

impl TypedOp for SameShape {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        if let SameShape::ReverseAxis { axis } = self {
            position(*axis, inputs[0].rank())?;
        }
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

impl InferenceRulesOp for SameShape {
    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    as_op!();
    to_typed!();
}

/// Zeros in the shape of the initial state of a recurrent operator, whose sequence and recurrent weights are the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ZeroState {
    pub batch_first: bool,
}

impl ZeroState {
    pub(super) const NAME: &'static str = "ZeroState";

    /// From the shapes of the sequence and of the weights.
    fn shape<D: DimLike>(&self, sequence: &[D], weights: &[D]) -> TVec<D> {
        let (directions, hidden) = (weights[0].clone(), weights[2].clone());
        if self.batch_first {
            tvec!(sequence[0].clone(), directions, hidden)
        } else {
            tvec!(directions, sequence[1].clone(), hidden)
        }
    }
}

impl Expansion for ZeroState {
    fn name(&self) -> StaticName {
        ZeroState::NAME.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].rank, 3)?;
        solver.equals(&inputs[1].rank, 3)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.given_2(&inputs[0].shape, &inputs[1].shape, move |solver, sequence, weights| {
            solver.equals(&outputs[0].shape, self.shape(&sequence, &weights))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let (sequence, weights) = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
        let shape = self.shape(&sequence.shape.to_tvec(), &weights.shape.to_tvec());
        let op = Zeros { shape: shape.into(), datum: sequence.datum_type };
        model.wire_node(prefix, op, &inputs[..1])
    }
}

/// Zeros whose shape is known when the graph runs. tract does not look into them, as it does into constants, whose shape it
/// then takes for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Zeros {
    shape: ShapeFact,
    datum: DatumType,
}

impl Op for Zeros {
    fn name(&self) -> StaticName {
        ZeroState::NAME.into()
    }

    op_as_typed_op!();
}

impl EvalOp for Zeros {
    not_out_of_plan!();

    fn eval(&self, context: &EvalContext, _: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = self.shape.eval_to_usize(context.symbols)?;
        Ok(tvec!(Tensor::zero_dt(self.datum, &shape)?.into_tvalue()))
    }
}

impl TypedOp for Zeros {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.datum.fact(self.shape.clone())))
    }

    as_op!();
}
