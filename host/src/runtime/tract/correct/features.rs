//! `ArrayFeatureExtractor` of `ai.onnx.ml`.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_hir::infer::{Solver, TensorProxy};
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult, check_input_arity, check_output_arity};
use tract_onnx::tract_hir::ops::binary::wire_cast;

/// `ArrayFeatureExtractor`: elements of the last axis, by indices in any shape. tract keeps the shape of the indices, and one
/// row too few of a list.
#[derive(Clone, Debug)]
pub(super) struct FeatureExtractor;

impl FeatureExtractor {
    fn shape(data: &[TDim], indices: &[TDim]) -> TVec<TDim> {
        let rows = if data.len() == 1 { &[TDim::Val(1)] } else { &data[..data.len().saturating_sub(1)] };
        rows.iter().cloned().chain([indices.iter().product()]).collect()
    }
}

impl Expansion for FeatureExtractor {
    fn name(&self) -> StaticName {
        "ArrayFeatureExtractor".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.given_2(&inputs[0].shape, &inputs[1].shape, |solver, data, indices| {
            solver.equals(&outputs[0].shape, FeatureExtractor::shape(&data, &indices))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let shape = model.outlet_fact(inputs[1])?.shape.to_tvec();
        ensure!(rank > 0, "ArrayFeatureExtractor takes elements of a tensor with axes");
        let indices = wire_cast(prefix, model, &inputs[1..], DatumType::I64)?;
        let flat = match shape.len() {
            0 => AxisOp::Add(0),
            _ => AxisOp::Reshape(0, shape.clone(), tvec!(shape.iter().product())),
        };
        let indices = model.wire_node(format!("{prefix}/indices"), flat, &indices)?;
        let gather = Gather { axis: rank - 1, output_type: None };
        let gathered = model.wire_node(format!("{prefix}/gathered"), gather, &[inputs[0], indices[0]])?;
        // A list is a table of one row.
        if rank == 1 { model.wire_node(prefix, AxisOp::Add(0), &gathered) } else { Ok(gathered) }
    }
}
