//! Datatype and shape of a tensor in a request, as they are written in any format.

use super::error::DecodeError;
use crate::tensor::{self, Datatype};

/// The datatype, shape and number of elements of a tensor, from the fields that a client sends beside its data.
pub fn tensor_head(input: &str, datatype: &str, sizes: &[i64]) -> Result<(Datatype, Vec<u64>, u64), DecodeError> {
    let known = Datatype::from_name(datatype).ok_or_else(|| DecodeError::Datatype {
        input: input.into(),
        datatype: datatype.into(),
        known: Datatype::ALL.map(Datatype::name).join(", "),
    })?;
    let (shape, count) = tensor_shape(input, sizes)?;
    Ok((known, shape, count))
}

/// A shape from the sizes that a client sent, and its number of elements; an error if no tensor can have such a shape.
pub fn tensor_shape(input: &str, sizes: &[i64]) -> Result<(Vec<u64>, u64), DecodeError> {
    let size =
        |size: &i64| u64::try_from(*size).map_err(|_| DecodeError::Dimension { input: input.into(), dimension: *size });
    let shape = sizes.iter().map(size).collect::<Result<Vec<u64>, _>>()?;
    let count = tensor::element_count(&shape).map_err(|error| DecodeError::Tensor { input: input.into(), error })?;
    Ok((shape, count))
}
