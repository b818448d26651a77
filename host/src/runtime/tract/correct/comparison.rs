//! Comparisons, with those of dimensions.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_hir::infer::{Solver, TensorProxy};
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult};
use tract_onnx::tract_hir::ops::binary::{self, wire_cast, wire_rank_broadcast};

/// A comparison. Dimensions that vary are compared when they are known: tract compares their expressions when it loads a
/// graph, and takes different ones for different numbers.
#[derive(Clone, Debug)]
pub(super) struct Comparison(pub Box<dyn BinMiniOp>);

impl Expansion for Comparison {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        binary::rules(solver, inputs, outputs, |_, _| Ok(DatumType::Bool))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let datum = |input: usize| -> TractResult<DatumType> {
            let datum = model.outlet_fact(inputs[input])?.datum_type;
            Ok(if datum == DatumType::TDim { DatumType::I64 } else { datum })
        };
        if let Some(decided) = self.decided(model, inputs)? {
            return Ok(tvec!(model.add_const(prefix, decided)?));
        }
        let common = self.0.operating_datum_type(datum(0)?, datum(1)?)?;
        let wires = wire_rank_broadcast(prefix, model, inputs)?;
        let wires = wire_cast(prefix, model, &wires, common)?;
        model.wire_node(prefix, TypedBinOp(self.0.clone(), None), &wires)
    }
}

impl Comparison {
    /// The result for dimensions of which it is the same whatever their sizes are: equal expressions, expressions at a fixed
    /// distance, and sizes beside negative numbers. `None` if a pair is not decided.
    fn decided(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Option<Tensor>> {
        let (left, right) = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
        let (Some(left), Some(right)) = (&left.konst, &right.konst) else { return Ok(None) };
        if left.datum_type() != DatumType::TDim && right.datum_type() != DatumType::TDim {
            return Ok(None);
        }
        let (left, right) = (left.cast_to::<TDim>()?, right.cast_to::<TDim>()?);
        let shape = multi_broadcast(&[left.shape(), right.shape()])?;
        let (left, right) = (left.to_plain_array_view::<TDim>()?, right.to_plain_array_view::<TDim>()?);
        let (left, right) = (left.broadcast(&*shape), right.broadcast(&*shape));
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        let signs: Option<Vec<i64>> =
            left.iter().zip(&right).map(|(left, right)| sign_of_difference(left, right)).collect();
        let Some(signs) = signs else { return Ok(None) };
        let signs = tract_ndarray::ArrayD::from_shape_vec(&*shape, signs)?.into_tensor();
        let zeros = Tensor::zero_dt(DatumType::I64, &shape)?;
        let mut result = Tensor::zero_dt(DatumType::Bool, &shape)?;
        self.0.eval_out_of_place(&mut result, &signs, &zeros)?;
        Ok(Some(result))
    }
}

/// The sign of the difference of two dimensions, if it is the same for all sizes.
fn sign_of_difference(left: &TDim, right: &TDim) -> Option<i64> {
    if let Ok(difference) = (left.clone() - right.clone()).simplify().to_i64() {
        return Some(difference.signum());
    }
    let negative = |dimension: &TDim| dimension.to_i64().is_ok_and(|size| size < 0);
    match (negative(left), negative(right)) {
        (false, true) if is_size(left) => Some(1),
        (true, false) if is_size(right) => Some(-1),
        _ => None,
    }
}

/// True for an expression of sizes alone, which is never negative.
fn is_size(dimension: &TDim) -> bool {
    match dimension {
        TDim::Val(value) => *value >= 0,
        TDim::Sym(_) => true,
        TDim::Add(terms) | TDim::Mul(terms) => terms.iter().all(is_size),
        TDim::MulInt(factor, term) => *factor >= 0 && is_size(term),
        TDim::Div(term, _) => is_size(term),
        _ => false,
    }
}
