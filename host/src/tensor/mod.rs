//! Tensors: the values that pass between clients, stages and graphs. Datatype, shape and data are checked against each
//! other once, when a tensor is made, so that all later code can rely on them. Clones share the data.

mod builder;
mod compare;
mod datatype;
mod guarded;
mod spec;

use std::sync::Arc;

use bytes::Bytes;

pub use builder::TensorBuilder;
pub use compare::{Difference, Tolerance};
pub use datatype::Datatype;
pub use guarded::Guarded;
pub use spec::{Signature, SpecMismatch, TensorSpec, bind_tensors, check_extents, names};

/// An immutable tensor. The data is row-major and little-endian; an element of `BYTES` is a u32 length, followed by that
/// many bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    datatype: Datatype,
    shape: Vec<u64>,
    data: Bytes,
}

/// Tensors with their names, in the order in which they were given.
pub type NamedTensors = Vec<(Arc<str>, Tensor)>;

/// A tensor whose parts do not fit each other, or an access outside of it. The text completes "the tensor …", and says what
/// would be right.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TensorError {
    #[error("has shape {shape:?}, whose dimensions other than zero multiply to over 2^63")]
    TooManyElements { shape: Vec<u64> },
    #[error("has {dimensions} dimensions; at most {MAX_DIMENSIONS} are allowed")]
    TooManyDimensions { dimensions: usize },
    #[error(
        "has {bytes} bytes of data, and {datatype} of shape {shape:?} needs {expected} ({elements} elements of {width})"
    )]
    Length { datatype: Datatype, shape: Vec<u64>, bytes: usize, expected: u64, elements: u64, width: u64 },
    #[error("of datatype BYTES and shape {shape:?} needs {elements} elements, and its data holds {found}")]
    ByteStrings { shape: Vec<u64>, elements: u64, found: u64 },
    #[error("of datatype BYTES is truncated: element {element} announces {announced} bytes, and {left} are left")]
    Torn { element: u64, announced: u64, left: u64 },
    #[error("cannot be reshaped: {shape:?} has {elements} elements, and the tensor has {present}")]
    Reshape { shape: Vec<u64>, elements: u64, present: u64 },
    #[error("of datatype BYTES cannot be built in pieces: its shape does not determine its size")]
    SizeUnknown,
    #[error("has room for {room} more bytes, and {appended} were appended")]
    NoRoom { appended: u64, room: u64 },
    #[error("has {bytes} bytes, and the range of {length} bytes from offset {offset} ends beyond them")]
    Range { bytes: usize, offset: u64, length: u64 },
}

/// Most dimensions of a shape: more than any model uses, and few enough that a shape stays small.
const MAX_DIMENSIONS: usize = 32;

impl Tensor {
    /// Fails unless the data holds exactly the elements of the shape. Does not copy the data.
    pub fn new(datatype: Datatype, shape: Vec<u64>, data: Bytes) -> Result<Tensor, TensorError> {
        let elements = element_count(&shape)?;
        match datatype.width() {
            Some(width) => check_length(datatype, &shape, elements, width, data.len())?,
            None => check_byte_strings(&shape, elements, &data)?,
        }
        Ok(Tensor { datatype, shape, data })
    }

    /// A `BYTES` tensor of shape `[1]` with one element. The value is copied once, behind its length prefix.
    pub fn byte_string(value: &[u8]) -> Tensor {
        let mut data = Vec::with_capacity(4 + value.len());
        push_byte_string(&mut data, value);
        Tensor { datatype: Datatype::Bytes, shape: vec![1], data: data.into() }
    }

    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The same tensor with its data passed through `place`, which may move or wrap the bytes and must not change them.
    pub fn with_data<E>(self, place: impl FnOnce(Bytes) -> Result<Bytes, E>) -> Result<Tensor, E> {
        Ok(Tensor { data: place(self.data)?, ..self })
    }

    /// The same data under another shape. Fails unless both shapes have the same number of elements.
    pub fn reshape(&self, shape: Vec<u64>) -> Result<Tensor, TensorError> {
        let (elements, present) = (element_count(&shape)?, element_count(&self.shape)?);
        if elements != present {
            return Err(TensorError::Reshape { shape, elements, present });
        }
        Ok(Tensor { datatype: self.datatype, shape, data: self.data.clone() })
    }

    /// `length` bytes of the data from `offset`, which are shared and not copied. Fails if the range ends beyond the data.
    pub fn slice(&self, offset: u64, length: u64) -> Result<Bytes, TensorError> {
        let bytes = self.data.len();
        match offset.checked_add(length) {
            Some(end) if end <= bytes as u64 => Ok(self.data.slice(offset as usize..end as usize)),
            _ => Err(TensorError::Range { bytes, offset, length }),
        }
    }

    /// Bytes that the tensor would have if its dimensions of zero were one. An element of `BYTES` counts the four bytes of
    /// its length.
    pub fn extent_bytes(&self) -> u64 {
        // The product was bounded when the tensor was made.
        extent(&self.shape).unwrap_or(u64::MAX).saturating_mul(self.datatype.width().unwrap_or(4))
    }

    /// The elements of a `BYTES` tensor, as slices of its data.
    pub fn byte_strings(&self) -> ByteStrings<'_> {
        ByteStrings { rest: &self.data }
    }
}

/// The number of elements of a shape. Fails if the dimensions other than zero multiply to more than `i64::MAX`, or if there
/// are more than 32 dimensions.
pub fn element_count(shape: &[u64]) -> Result<u64, TensorError> {
    let extent = extent(shape)?;
    Ok(if shape.contains(&0) { 0 } else { extent })
}

/// The product of the dimensions that are not zero. It is bounded for every tensor, because operators may loop over these
/// dimensions although the tensor is empty.
fn extent(shape: &[u64]) -> Result<u64, TensorError> {
    if shape.len() > MAX_DIMENSIONS {
        return Err(TensorError::TooManyDimensions { dimensions: shape.len() });
    }
    shape
        .iter()
        .try_fold(1u64, |product, dimension| product.checked_mul((*dimension).max(1)))
        .filter(|product| *product <= i64::MAX as u64)
        .ok_or_else(|| TensorError::TooManyElements { shape: shape.to_vec() })
}

/// Appends an element of `BYTES`. The caller holds less than 4 GiB, because request and memory limits are below it.
pub fn push_byte_string(data: &mut Vec<u8>, value: &[u8]) {
    data.extend_from_slice(&(value.len() as u32).to_le_bytes());
    data.extend_from_slice(value);
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
        rest = tail.get(announced as usize..).ok_or(TensorError::Torn { element: found, announced, left })?;
        found += 1;
    }
    if found != elements {
        return Err(TensorError::ByteStrings { shape: shape.to_vec(), elements, found });
    }
    Ok(())
}

fn split_length(data: &[u8]) -> Option<(u64, &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    Some((u64::from(u32::from_le_bytes(*length)), rest))
}

/// Iterates over the elements of a `BYTES` tensor.
pub struct ByteStrings<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ByteStrings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // The lengths were checked when the tensor was made; a wrong one would only end the iteration.
        let (length, tail) = split_length(self.rest)?;
        let (element, rest) = tail.split_at_checked(length as usize)?;
        self.rest = rest;
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(datatype: Datatype, shape: &[u64], data: &'static [u8]) -> Result<Tensor, TensorError> {
        Tensor::new(datatype, shape.to_vec(), Bytes::from_static(data))
    }

    #[test]
    fn length_must_match_shape() {
        assert!(tensor(Datatype::Fp32, &[2], &[0; 8]).is_ok());
        assert!(tensor(Datatype::Fp32, &[], &[0; 4]).is_ok());
        assert!(tensor(Datatype::Fp32, &[0, 7], &[]).is_ok());
        let error = tensor(Datatype::Fp32, &[2, 3], &[0; 8]).unwrap_err().to_string();
        assert_eq!(error, "has 8 bytes of data, and FP32 of shape [2, 3] needs 24 (6 elements of 4)");
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
        let good = tensor(Datatype::Bytes, &[2], b"\x02\0\0\0hi\0\0\0\0").unwrap();
        assert_eq!(good.byte_strings().collect::<Vec<_>>(), [&b"hi"[..], b""]);
        for torn in [&b"\x03\0\0\0hi"[..], b"\x02\0\0", b"\xff\xff\xff\xffhi"] {
            let result = Tensor::new(Datatype::Bytes, vec![1], Bytes::from_static(torn));
            assert!(matches!(result, Err(TensorError::Torn { .. })), "{torn:?}");
        }
        assert!(matches!(tensor(Datatype::Bytes, &[3], b"\0\0\0\0"), Err(TensorError::ByteStrings { found: 1, .. })));
    }

    #[test]
    fn ranges_and_shapes_stay_inside() {
        let t = tensor(Datatype::Uint8, &[4], &[1, 2, 3, 4]).unwrap();
        assert_eq!(&t.slice(1, 2).unwrap()[..], &[2, 3]);
        assert!(t.slice(3, 2).is_err());
        assert!(t.slice(u64::MAX, 2).is_err());
        assert_eq!(t.reshape(vec![2, 2]).unwrap().shape(), [2, 2]);
        assert!(t.reshape(vec![3]).is_err());
    }
}
