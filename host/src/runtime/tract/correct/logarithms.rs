//! Logarithms of sums of exponentials, computed around the maximum, so that no exponential overflows.

use tract_onnx::prelude::tract_ndarray::{ArrayD, ArrayViewD, Dimension, Zip};
use tract_onnx::prelude::*;

/// The reduced axes keep one element. The sums are those of FP64.
pub(super) fn log_sum_exp(tensor: &Tensor, axes: &[usize]) -> TractResult<Tensor> {
    let wide = tensor.cast_to::<f64>()?;
    let view = wide.to_plain_array_view::<f64>()?;
    let size = |(axis, size): (usize, &usize)| if axes.contains(&axis) { 1 } else { *size };
    let shape: Vec<usize> = view.shape().iter().enumerate().map(size).collect();
    let mut maxima = ArrayD::from_elem(shape.clone(), f64::NEG_INFINITY);
    fold(&mut maxima, &view, |most, value| if value.is_nan() || value > most { value } else { most });
    // An infinite maximum is no center: the difference to itself is not a number.
    let centers = maxima.mapv(|most| if most.is_finite() { most } else { 0.0 });
    let mut shifted = view.to_owned();
    Zip::from(&mut shifted).and_broadcast(&centers).for_each(|value, center| *value = (*value - center).exp());
    let mut sums = ArrayD::from_elem(shape, 0.0);
    fold(&mut sums, &shifted.view(), |sum, value| sum + value);
    Zip::from(&mut sums).and(&centers).for_each(|sum, center| *sum = sum.ln() + center);
    Ok(sums.into_tensor().cast_to_dt(tensor.datum_type())?.into_owned())
}

/// Folds each element into the element of the result that it is reduced to.
fn fold(result: &mut ArrayD<f64>, view: &ArrayViewD<f64>, step: impl Fn(f64, f64) -> f64) {
    let reduced: Vec<bool> = result.shape().iter().zip(view.shape()).map(|(own, given)| own != given).collect();
    for (mut position, value) in view.indexed_iter() {
        position.slice_mut().iter_mut().zip(&reduced).filter(|(_, reduced)| **reduced).for_each(|(at, _)| *at = 0);
        let own = &mut result[position];
        *own = step(*own, *value);
    }
}
