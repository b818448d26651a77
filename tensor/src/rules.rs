//! The checks of a tensor's parts against each other.

use std::ops::Range;

use crate::byte_strings::split_length;
use crate::{Datatype, TensorError, to_usize};

/// Most dimensions of a shape: more than any model uses, and few enough that a shape stays small.
pub const MAX_DIMENSIONS: usize = 32;

/// The number of elements of a shape. Fails if the dimensions other than zero multiply to more than `i64::MAX`, or if there
/// are more than 32 dimensions.
pub fn element_count(shape: &[u64]) -> Result<u64, TensorError> {
    let extent = extent(shape)?;
    Ok(if shape.contains(&0) { 0 } else { extent })
}

/// The product of the dimensions that are not zero. It is bounded for every tensor, because operators may loop over these
/// dimensions although the tensor is empty.
pub fn extent(shape: &[u64]) -> Result<u64, TensorError> {
    if shape.len() > MAX_DIMENSIONS {
        return Err(TensorError::TooManyDimensions { dimensions: shape.len() });
    }
    shape
        .iter()
        .try_fold(1u64, |product, dimension| product.checked_mul((*dimension).max(1)))
        .filter(|product| *product <= i64::MAX as u64)
        .ok_or_else(|| TensorError::TooManyElements { shape: shape.to_vec() })
}

/// Fails unless the data holds exactly the elements of the shape.
pub fn check_data(datatype: Datatype, shape: &[u64], data: &[u8]) -> Result<(), TensorError> {
    let elements = element_count(shape)?;
    match datatype.width() {
        Some(width) => check_length(datatype, shape, elements, width, data.len()),
        None => check_byte_strings(shape, elements, data),
    }
}

/// Fails unless the shape `new` has as many elements as the shape `present` of a tensor.
pub fn check_reshape(present: &[u64], new: &[u64]) -> Result<(), TensorError> {
    let (elements, present) = (element_count(new)?, element_count(present)?);
    if elements != present {
        return Err(TensorError::Reshape { shape: new.to_vec(), elements, present });
    }
    Ok(())
}

/// The range of `length` bytes from `offset`. Fails if it ends beyond the `bytes` bytes of a tensor.
pub fn check_range(bytes: usize, offset: u64, length: u64) -> Result<Range<usize>, TensorError> {
    match offset.checked_add(length) {
        Some(end) if end <= bytes as u64 => Ok(to_usize(offset)..to_usize(end)),
        _ => Err(TensorError::Range { bytes, offset, length }),
    }
}

fn check_length(datatype: Datatype, shape: &[u64], elements: u64, width: u64, bytes: usize) -> Result<(), TensorError> {
    let expected = elements.saturating_mul(width);
    if expected == bytes as u64 {
        return Ok(());
    }
    Err(TensorError::Length { datatype, shape: shape.to_vec(), bytes, expected, elements, width })
}

fn check_byte_strings(shape: &[u64], elements: u64, data: &[u8]) -> Result<(), TensorError> {
    let mut found = 0;
    let mut rest = data;
    while !rest.is_empty() {
        let Some((announced, tail)) = split_length(rest) else {
            return Err(TensorError::Torn { element: found, announced: 4, left: rest.len() as u64 });
        };
        let left = tail.len() as u64;
        rest = tail.get(to_usize(announced)..).ok_or(TensorError::Torn { element: found, announced, left })?;
        found += 1;
    }
    if found != elements {
        return Err(TensorError::ByteStrings { shape: shape.to_vec(), elements, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_must_match_shape() {
        assert!(check_data(Datatype::Fp32, &[2], &[0; 8]).is_ok());
        assert!(check_data(Datatype::Fp32, &[], &[0; 4]).is_ok());
        assert!(check_data(Datatype::Fp32, &[0, 7], &[]).is_ok());
        let error = check_data(Datatype::Fp32, &[2, 3], &[0; 8]).unwrap_err().sentence();
        assert_eq!(error, "the tensor has 8 bytes of data, and FP32 of shape [2, 3] needs 24 (6 elements of 4)");
    }

    #[test]
    fn shapes_that_overflow_are_refused() {
        for shape in [vec![u64::MAX, 2], vec![1 << 62, 4], vec![1 << 63], vec![u64::MAX, 0], vec![1 << 62, 0, 4]] {
            assert!(matches!(element_count(&shape), Err(TensorError::TooManyElements { .. })), "{shape:?}");
        }
        assert_eq!(element_count(&[1 << 62, 0]), Ok(0));
        assert!(matches!(element_count(&[1; 33]), Err(TensorError::TooManyDimensions { .. })));
    }

    #[test]
    fn byte_strings_are_counted_and_must_not_be_torn() {
        assert_eq!(check_data(Datatype::Bytes, &[2], b"\x02\0\0\0hi\0\0\0\0"), Ok(()));
        for torn in [&b"\x03\0\0\0hi"[..], b"\x02\0\0", b"\xff\xff\xff\xffhi"] {
            let result = check_data(Datatype::Bytes, &[1], torn);
            assert!(matches!(result, Err(TensorError::Torn { .. })), "{torn:?}");
        }
        let few = check_data(Datatype::Bytes, &[3], b"\0\0\0\0");
        assert!(matches!(few, Err(TensorError::ByteStrings { found: 1, .. })));
    }

    #[test]
    fn ranges_and_shapes_stay_inside() {
        assert_eq!(check_range(4, 1, 2), Ok(1..3));
        assert!(check_range(4, 3, 2).is_err());
        assert!(check_range(4, u64::MAX, 2).is_err());
        assert!(check_reshape(&[4], &[2, 2]).is_ok());
        assert!(check_reshape(&[4], &[3]).is_err());
    }
}
