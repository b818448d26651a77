//! An operator of tract inside an operator of this host, which does what tract leaves out.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, GatherElements, GatherNd, OneHot, ScatterElements, ScatterNd};
use tract_onnx::tract_core::ops::binary::{OptBinByScalar, OptBinChain, OptBinUnicast, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::doubles::Double;
use super::{indices, logarithms, reduction};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime::tract) struct Guarded {
    pub inner: Box<dyn TypedOp>,
    pub guard: Guard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime::tract) enum Guard {
    /// tract adds integers as 32 bits.
    IntegerSum(TVec<usize>),
    /// tract has the function for FP32 alone.
    Double(Double),
    /// tract squares no integers.
    IntegerSquare,
    /// tract converts numbers to INT64 by way of 32 bits.
    WideCast,
    /// tract counts no index from the end, and panics beyond it.
    Indices(indices::Along),
    /// tract panics for an index beyond the depth, where ONNX wants a row of "off".
    OneHot(OneHot),
    /// tract subtracts no maximum, so that large numbers become infinite.
    LogSumExp(TVec<usize>),
    /// tract's maximum, minimum, sigmoid and hyperbolic tangent make an ordinary number of a NaN.
    KeepNan,
    /// tract reduces nothing to the least finite number, or panics; and its maximum and minimum lose NaN.
    Reduction(Reduce),
}

/// Functions of tract that make an ordinary number of a NaN.
const LOSES_NAN: [&str; 6] = ["Max", "Min", "Sigmoid", "Tanh", "Silu", "HardSwish"];

impl Guard {
    pub(super) fn before_optimization(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Guard>> {
        let facts = model.node_input_facts(node.id)?;
        let datum = facts.first().map(|fact| fact.datum_type);
        let integer = datum.is_some_and(|datum| datum.is_integer());
        if let Some(reduce) = node.op_as::<Reduce>() {
            let empty = facts.iter().any(|fact| fact.shape.volume() == 0.to_dim());
            return Ok(match reduce.reducer {
                _ if empty => Some(Guard::Reduction(reduce.clone())),
                // Also of constants, which tract reduces while it optimizes.
                Reducer::Max | Reducer::Min if !integer => Some(Guard::Reduction(reduce.clone())),
                Reducer::Sum if integer => Some(Guard::IntegerSum(reduce.axes.clone())),
                _ => None,
            });
        }
        if let Some(function) = Guard::of_function(node, datum) {
            return Ok(Some(function));
        }
        if let Some(cast) = node.op_as::<Cast>() {
            let float = datum.is_some_and(|datum| datum.is_float());
            let wide = [DatumType::I64, DatumType::U64, DatumType::U32, DatumType::TDim].contains(&cast.to);
            return Ok((float && wide).then_some(Guard::WideCast));
        }
        if let Some(hot) = node.op_as::<OneHot>() {
            // Texts and dimensions cannot be copied byte by byte.
            let plain = hot.off.datum_type().is_copy() && hot.on.datum_type() == hot.off.datum_type();
            return Ok(plain.then(|| Guard::OneHot(hot.clone())));
        }
        let gather = node.op_as::<GatherNd>().map(|gather| indices::Along::Leading { batch: gather.batch_dims });
        let scatter = node.op_as::<ScatterNd>().map(|_| indices::Along::Leading { batch: 0 });
        Ok(gather.or(scatter).map(Guard::Indices))
    }

    fn of_function(node: &TypedNode, datum: Option<DatumType>) -> Option<Guard> {
        let op = node.op_as::<ElementWiseOp>()?;
        let square = datum.is_some_and(|datum| datum.is_integer()) && op.0.name() == "Square";
        let double = if datum == Some(DatumType::F64) { Double::of(&*op.0) } else { None };
        double.map(Guard::Double).or_else(|| square.then_some(Guard::IntegerSquare))
    }

    pub(super) fn after_optimization(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Guard>> {
        let facts = model.node_input_facts(node.id)?;
        if let Some(function) = Guard::of_function(node, facts.first().map(|fact| fact.datum_type)) {
            return Ok(Some(function));
        }
        if let Some(reduce) = node.op_as::<Reduce>() {
            return Ok(Some(Guard::Reduction(reduce.clone())));
        }
        let axis = node.op_as::<Gather>().map(|gather| gather.axis);
        let axis = axis.or_else(|| node.op_as::<GatherElements>().map(|gather| gather.axis));
        let axis = axis.or_else(|| node.op_as::<ScatterElements>().map(|scatter| scatter.axis));
        if let Some(axis) = axis {
            let plain = facts.iter().all(|fact| fact.exotic_fact().is_none());
            return Ok(plain.then_some(Guard::Indices(indices::Along::Axis(axis))));
        }
        let float = facts.iter().any(|fact| fact.datum_type.is_float());
        Ok((float && loses_nan(node)).then_some(Guard::KeepNan))
    }

    fn eval(&self, inner: &dyn TypedOp, context: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(match self {
            Guard::IntegerSum(axes) => tvec!(reduction::integer_sum(&inputs[0], axes)?.into_tvalue()),
            Guard::Double(function) => tvec!(function.eval(&inputs[0])?.into_tvalue()),
            Guard::IntegerSquare => tvec!(reduction::integer_square(&inputs[0])?.into_tvalue()),
            Guard::WideCast => tvec!(reduction::wide_cast(&inputs[0], inner)?.into_tvalue()),
            Guard::OneHot(hot) => tvec!(indices::one_hot(hot, &inputs[0])?.into_tvalue()),
            Guard::LogSumExp(axes) => tvec!(logarithms::log_sum_exp(&inputs[0], axes)?.into_tvalue()),
            Guard::Indices(along) => {
                inputs[1] = along.checked(&inner.name(), inputs[0].shape(), &inputs[1])?.into_tvalue();
                inner.eval(context, inputs)?
            }
            Guard::Reduction(reduce) => reduction::reduce(reduce, context, inputs)?,
            Guard::KeepNan => reduction::keep_nan(inner, context, inputs)?,
        })
    }
}

fn loses_nan(node: &TypedNode) -> bool {
    let loses = |name: &str| LOSES_NAN.contains(&name);
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        return loses(&op.0.name());
    }
    if let Some(op) = node.op_as::<TypedBinOp>() {
        return loses(op.0.name());
    }
    if let Some(op) = node.op_as::<OptBinByScalar>() {
        return loses(op.binop.name());
    }
    if let Some(op) = node.op_as::<OptBinUnicast>() {
        return loses(op.binop.name());
    }
    node.op_as::<OptBinChain>().is_some_and(|op| op.steps.iter().any(|step| loses(step.binop.name())))
}

impl Op for Guarded {
    fn name(&self) -> StaticName {
        self.inner.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Guarded {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.guard.eval(&*self.inner, context, inputs)
    }
}

impl TypedOp for Guarded {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        match self.guard {
            Guard::LogSumExp(ref axes) => {
                let mut shape = inputs[0].shape.to_tvec();
                axes.iter().for_each(|axis| shape[*axis] = 1.to_dim());
                Ok(tvec!(inputs[0].datum_type.fact(shape)))
            }
            _ => self.inner.output_facts(inputs),
        }
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        self.inner.cost(inputs)
    }

    as_op!();
}
