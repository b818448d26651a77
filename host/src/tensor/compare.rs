//! Comparison of two tensors, within a tolerance for rounding.

use bulkhead_tensor::match_datatype;

use super::{Datatype, Tensor};
use crate::numbers::to_usize;

/// The largest difference between two floats that counts as equal: `absolute + relative * |expected|`. Integers, booleans
/// and bytes must be equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

/// The tolerance as the end of a sentence, if there is one.
fn within(tolerance: f64) -> String {
    if tolerance == 0.0 { String::new() } else { format!(" (or at most {tolerance} more or less)") }
}

/// The first place where two tensors differ by more than the tolerance.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Difference {
    #[error("has datatype {got}, and {expected} was expected")]
    Datatype { expected: Datatype, got: Datatype },
    #[error("has shape {got:?}, and {expected:?} was expected")]
    Shape { expected: Vec<u64>, got: Vec<u64> },
    #[error("has {got} at element {at}, and {expected} was expected{}", within(*.tolerance))]
    Number { at: usize, expected: f64, got: f64, tolerance: f64 },
    #[error("differs at element {at}")]
    Element { at: usize },
}

impl Tensor {
    /// The first difference from `expected` that exceeds the tolerance, or `None`.
    pub fn differs(&self, expected: &Tensor, tolerance: Tolerance) -> Option<Difference> {
        let (datatype, shape) = (expected.datatype, &expected.shape);
        if self.datatype != datatype {
            return Some(Difference::Datatype { expected: datatype, got: self.datatype });
        }
        if self.shape != *shape {
            return Some(Difference::Shape { expected: shape.clone(), got: self.shape.clone() });
        }
        match (floats(self), floats(expected)) {
            (Some(got), Some(expected)) => first_far(got, expected, tolerance),
            _ => self.first_unequal(expected),
        }
    }

    fn first_unequal(&self, expected: &Tensor) -> Option<Difference> {
        if self.data == expected.data {
            return None;
        }
        let width = to_usize(self.datatype.width().unwrap_or(1));
        let at = match self.datatype {
            Datatype::Bytes => self.byte_strings().zip(expected.byte_strings()).position(|(got, wanted)| got != wanted),
            _ => self.data.chunks(width).zip(expected.data.chunks(width)).position(|(got, wanted)| got != wanted),
        };
        Some(Difference::Element { at: at.unwrap_or_default() })
    }
}

/// The elements of a tensor of floats; `None` for any other datatype.
fn floats(tensor: &Tensor) -> Option<Box<dyn Iterator<Item = f64> + '_>> {
    let data = &tensor.data[..];
    Some(match_datatype!(tensor.datatype, {
        boolean => return None,
        integer T => return None,
        half T => widened(data, T::from_le_bytes),
        float T => widened(data, T::from_le_bytes),
        bytes => return None,
    }))
}

fn widened<'a, T: Into<f64>, const WIDTH: usize>(
    data: &'a [u8],
    read: impl Fn([u8; WIDTH]) -> T + 'a,
) -> Box<dyn Iterator<Item = f64> + 'a> {
    Box::new(data.as_chunks().0.iter().map(move |bytes| read(*bytes).into()))
}

fn first_far(
    got: impl Iterator<Item = f64>,
    expected: impl Iterator<Item = f64>,
    tolerance: Tolerance,
) -> Option<Difference> {
    got.zip(expected).enumerate().find_map(|(at, (got, expected))| {
        let tolerance = tolerance.absolute + tolerance.relative * expected.abs();
        let same = got == expected || (got.is_nan() && expected.is_nan()) || (got - expected).abs() <= tolerance;
        (!same).then_some(Difference::Number { at, expected, got, tolerance })
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const CLOSE: Tolerance = Tolerance { absolute: 0.01, relative: 0.1 };

    fn fp32(values: &[f32]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor::new(Datatype::Fp32, vec![values.len() as u64], bytes.into()).unwrap()
    }

    #[test]
    fn numbers_within_the_tolerance_are_equal() {
        let expected = fp32(&[1.0, -100.0, f32::NAN, f32::INFINITY]);
        assert_eq!(fp32(&[1.1, -91.0, f32::NAN, f32::INFINITY]).differs(&expected, CLOSE), None);
        let far = fp32(&[1.0, -89.0, f32::NAN, f32::INFINITY]).differs(&expected, CLOSE);
        assert!(matches!(far, Some(Difference::Number { at: 1, .. })), "{far:?}");
        assert!(fp32(&[1.0, -100.0, 0.0, f32::INFINITY]).differs(&expected, CLOSE).is_some());
        assert!(fp32(&[1.0]).differs(&expected, CLOSE).is_some());
    }

    #[test]
    fn everything_else_must_be_equal() {
        let bytes = |data: &'static [u8]| Tensor::new(Datatype::Bytes, vec![2], Bytes::from_static(data)).unwrap();
        let expected = bytes(b"\x01\0\0\0a\x01\0\0\0b");
        assert_eq!(expected.differs(&expected.clone(), CLOSE), None);
        let other = bytes(b"\x01\0\0\0a\x01\0\0\0c");
        assert_eq!(other.differs(&expected, CLOSE), Some(Difference::Element { at: 1 }));
    }
}
