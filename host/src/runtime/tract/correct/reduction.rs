//! Sums, extremes and conversions where tract's lose bits, lose NaN, or panic.

use tract_onnx::prelude::tract_ndarray::{self as ndarray, ArrayD, Zip};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::BadValue;

/// Sums of integers, which wrap at the width of their datatype, as they do in ONNX.
pub(super) fn integer_sum(tensor: &Tensor, axes: &[usize]) -> TractResult<Tensor> {
    let wide = tensor.cast_to::<i64>()?;
    let view = wide.to_plain_array_view::<i64>()?;
    let mut sums = view.to_owned();
    for axis in axes {
        sums = sums
            .fold_axis(ndarray::Axis(*axis), 0_i64, |sum, value| sum.wrapping_add(*value))
            .insert_axis(ndarray::Axis(*axis));
    }
    Ok(sums.into_tensor().cast_to_dt(tensor.datum_type())?.into_owned())
}

pub(super) fn integer_square(tensor: &Tensor) -> TractResult<Tensor> {
    let wide = tensor.cast_to::<i64>()?;
    let squares = wide.to_plain_array_view::<i64>()?.mapv(|value| value.wrapping_mul(value));
    Ok(squares.into_tensor().cast_to_dt(tensor.datum_type())?.into_owned())
}

/// Floating-point numbers as integers, truncated. Those out of range become the nearest integer, and NaN becomes zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the casts saturate, as they should")]
pub(super) fn wide_cast(tensor: &Tensor, cast: &dyn TypedOp) -> TractResult<Tensor> {
    let to = cast.downcast_ref::<Cast>().map_or(DatumType::I64, |cast| cast.to);
    let wide = tensor.cast_to::<f64>()?;
    let view = wide.to_plain_array_view::<f64>()?;
    Ok(match to {
        DatumType::U64 => view.mapv(|value| value as u64).into_tensor(),
        DatumType::U32 => view.mapv(|value| value as u32).into_tensor(),
        DatumType::I64 => view.mapv(|value| value as i64).into_tensor(),
        _ => view.mapv(|value| TDim::Val(value as i64)).into_tensor(),
    })
}

/// A reduction whose result is defined for no elements, and in which a NaN is not lost.
pub(super) fn reduce(reduce: &Reduce, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let input = &inputs[0];
    if input.len() == 0 {
        return Ok(tvec!(of_nothing(reduce, input)?.into_tvalue()));
    }
    let extreme = matches!(reduce.reducer, Reducer::Max | Reducer::Min);
    let not_numbers = if extreme { nan_mask(input)? } else { None };
    // tract begins with the least finite number, which is more than negative infinity.
    let infinite = extreme && has_infinity(input, reduce.reducer)?;
    let mut outputs = reduce.eval(context, inputs)?;
    if infinite {
        outputs[0] = finite_as_infinite(&outputs[0], reduce.reducer)?;
    }
    if let Some(mask) = not_numbers {
        let mask = reduce.axes.iter().fold(mask, |mask, axis| {
            mask.fold_axis(ndarray::Axis(*axis), false, |any, one| *any || *one).insert_axis(ndarray::Axis(*axis))
        });
        return Ok(tvec!(with_nan(outputs.remove(0), &[mask])?));
    }
    Ok(outputs)
}

fn has_infinity(tensor: &Tensor, reducer: Reducer) -> TractResult<bool> {
    let (wanted, wide) = match reducer {
        Reducer::Max => (f32::NEG_INFINITY, f64::NEG_INFINITY),
        _ => (f32::INFINITY, f64::INFINITY),
    };
    Ok(match tensor.datum_type() {
        DatumType::F32 => tensor.try_as_plain_ram()?.as_slice::<f32>()?.contains(&wanted),
        DatumType::F64 => tensor.try_as_plain_ram()?.as_slice::<f64>()?.contains(&wide),
        _ => false,
    })
}

/// The least finite number of a maximum, or the largest of a minimum, stands for infinity.
fn finite_as_infinite(tensor: &Tensor, reducer: Reducer) -> TractResult<TValue> {
    let wide = tensor.cast_to::<f64>()?;
    let largest = if tensor.datum_type() == DatumType::F32 { f64::from(f32::MAX) } else { f64::MAX };
    let (finite, infinite) =
        if reducer == Reducer::Max { (-largest, f64::NEG_INFINITY) } else { (largest, f64::INFINITY) };
    let values = wide.to_plain_array_view::<f64>()?.mapv(|value| if value == finite { infinite } else { value });
    Ok(values.into_tensor().cast_to_dt(tensor.datum_type())?.into_owned().into_tvalue())
}

fn of_nothing(reduce: &Reduce, input: &Tensor) -> TractResult<Tensor> {
    let size = |(axis, size): (usize, &usize)| if reduce.axes.contains(&axis) { 1 } else { *size };
    let shape: TVec<usize> = input.shape().iter().enumerate().map(size).collect();
    let datum = input.datum_type();
    let float = |value: f64| tensor0(value).cast_to_dt(datum).map(Cow::into_owned);
    let identity = match reduce.reducer {
        Reducer::Sum | Reducer::MeanOfSquares => Tensor::zero_scalar_dt(datum)?,
        Reducer::Prod => tensor0(1_i64).cast_to_dt(datum)?.into_owned(),
        Reducer::Max if datum.is_float() => float(f64::NEG_INFINITY)?,
        Reducer::Min if datum.is_float() => float(f64::INFINITY)?,
        Reducer::All => tensor0(true),
        Reducer::Any => tensor0(false),
        _ if shape.contains(&0) => Tensor::zero_scalar_dt(reduce_datum(reduce, datum))?,
        _ => return Err(BadValue::new(format!("operator {} has no elements to choose from", reduce.name())).into()),
    };
    identity.broadcast_scalar_to_shape(&shape)
}

fn reduce_datum(reduce: &Reduce, datum: DatumType) -> DatumType {
    if matches!(reduce.reducer, Reducer::ArgMax(_) | Reducer::ArgMin(_)) { DatumType::I64 } else { datum }
}

/// An operation on single elements of the inputs, whose result is NaN where an input is.
pub(super) fn keep_nan(inner: &dyn TypedOp, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let masks = inputs.iter().map(|input| nan_mask(input)).collect::<TractResult<Vec<_>>>()?;
    let masks: Vec<ArrayD<bool>> = masks.into_iter().flatten().collect();
    let mut outputs = inner.eval(context, inputs)?;
    if !masks.is_empty() {
        return Ok(tvec!(with_nan(outputs.remove(0), &masks)?));
    }
    Ok(outputs)
}

/// A mask of the elements that are NaN; `None` if there are none.
fn nan_mask(tensor: &Tensor) -> TractResult<Option<ArrayD<bool>>> {
    fn mask<T: Datum + Copy>(tensor: &Tensor, is_nan: impl Fn(T) -> bool) -> TractResult<Option<ArrayD<bool>>> {
        let plain = tensor.try_as_plain_ram()?;
        // Blocks without a branch inside are compared many elements at a time.
        let any = plain.as_slice::<T>()?.chunks(64).any(|block| block.iter().fold(false, |any, x| any | is_nan(*x)));
        if any { Ok(Some(plain.to_array_view::<T>()?.mapv(is_nan))) } else { Ok(None) }
    }
    match tensor.datum_type() {
        DatumType::F32 => mask::<f32>(tensor, f32::is_nan),
        DatumType::F64 => mask::<f64>(tensor, f64::is_nan),
        DatumType::F16 => mask::<f16>(tensor, f16::is_nan),
        _ => Ok(None),
    }
}

fn with_nan(tensor: TValue, masks: &[ArrayD<bool>]) -> TractResult<TValue> {
    fn set<T: Datum + Copy>(tensor: &mut Tensor, masks: &[ArrayD<bool>], nan: T) -> TractResult<()> {
        let mut plain = tensor.try_as_plain_ram_mut()?;
        let mut view = plain.to_array_view_mut::<T>()?;
        for mask in masks {
            let mask = mask.broadcast(view.raw_dim()).context("inputs of an operator do not agree")?;
            Zip::from(&mut view).and(&mask).for_each(|value, is_nan| {
                if *is_nan {
                    *value = nan;
                }
            });
        }
        Ok(())
    }
    let mut tensor = tensor.into_tensor();
    match tensor.datum_type() {
        DatumType::F32 => set(&mut tensor, masks, f32::NAN)?,
        DatumType::F64 => set(&mut tensor, masks, f64::NAN)?,
        DatumType::F16 => set(&mut tensor, masks, f16::NAN)?,
        _ => {}
    }
    Ok(tensor.into_tvalue())
}
