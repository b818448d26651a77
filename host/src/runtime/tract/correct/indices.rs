//! Operators that read or write at positions which a tensor gives.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::OneHot;

/// A value that an operator cannot take: a mistake of the client, if the value comes from a request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::runtime::tract) struct BadValue(String);

impl BadValue {
    pub(super) fn new(text: String) -> BadValue {
        BadValue(text)
    }
}

/// The dimensions that indices point into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime::tract) enum Along {
    /// One axis, for all indices.
    Axis(usize),
    /// The last axis of the indices holds a position in the axes after the batch.
    Leading { batch: usize },
}

impl Along {
    /// The indices, counted from the start. Fails for one that is outside.
    pub(super) fn checked(&self, operator: &str, data: &[usize], indices: &Tensor) -> TractResult<Tensor> {
        let mut indices = indices.cast_to::<i64>()?.into_owned();
        let width = indices.shape().last().copied().unwrap_or(1).max(1);
        let mut plain = indices.try_as_plain_ram_mut()?;
        for (at, index) in plain.as_slice_mut::<i64>()?.iter_mut().enumerate() {
            let axis = match self {
                Along::Axis(axis) => *axis,
                Along::Leading { batch } => batch + at % width,
            };
            let size = data.get(axis).map_or(0, |size| i64::try_from(*size).unwrap_or(i64::MAX));
            if !(-size..size).contains(index) {
                let text = format!(
                    "index {index} of operator {operator} is outside of axis {axis} of its tensor, which has {size} elements"
                );
                return Err(BadValue::new(text).into());
            }
            if *index < 0 {
                *index += size;
            }
        }
        Ok(indices)
    }
}

/// One-hot rows; an index beyond the depth gives a row of "off".
pub(super) fn one_hot(hot: &OneHot, indices: &Tensor) -> TractResult<Tensor> {
    let mut shape: TVec<usize> = indices.shape().into();
    shape.insert(hot.axis, hot.dim);
    let mut output = hot.off.broadcast_scalar_to_shape(&shape)?;
    // Floats are truncated, as ONNX says of indices that are not integers.
    let indices = indices.cast_to::<i64>()?;
    let plain = indices.try_as_plain_ram()?;
    let inner: usize = indices.shape()[hot.axis..].iter().product();
    let depth = i64::try_from(hot.dim)?;
    for (at, index) in plain.as_slice::<i64>()?.iter().enumerate() {
        let index = if *index < 0 { index + depth } else { *index };
        if (0..depth).contains(&index) {
            let (before, after) = (at / inner, at % inner);
            let position = (before * hot.dim + usize::try_from(index)?) * inner + after;
            set(&mut output, position, &hot.on)?;
        }
    }
    Ok(output)
}

fn set(output: &mut Tensor, position: usize, value: &Tensor) -> TractResult<()> {
    let size = output.datum_type().size_of();
    let value = value.as_bytes();
    output.as_bytes_mut()[position * size..][..size].copy_from_slice(value);
    Ok(())
}
