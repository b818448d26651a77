//! Tensors: the values that pass between clients, stages and graphs. Datatype, shape and data are checked against each
//! other once, when a tensor is made, so that all later code can rely on them. Clones share the data. The checks are in the
//! crate `bulkhead-tensor`, which the SDK of plugins uses too.

mod compare;
mod guarded;
mod spec;

use std::sync::Arc;

use bytes::Bytes;

use bulkhead_tensor::{ByteStrings, check_data, check_range, check_reshape, extent};
pub use bulkhead_tensor::{Datatype, MAX_DIMENSIONS, TensorBuilder, TensorError, element_count, push_byte_string};
pub use compare::{Difference, Tolerance};
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

impl Tensor {
    /// Fails unless the data holds exactly the elements of the shape. Does not copy the data.
    pub fn new(datatype: Datatype, shape: Vec<u64>, data: Bytes) -> Result<Tensor, TensorError> {
        check_data(datatype, &shape, &data)?;
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
        check_reshape(&self.shape, &shape)?;
        Ok(Tensor { datatype: self.datatype, shape, data: self.data.clone() })
    }

    /// `length` bytes of the data from `offset`, which are shared and not copied. Fails if the range ends beyond the data.
    pub fn slice(&self, offset: u64, length: u64) -> Result<Bytes, TensorError> {
        check_range(self.data.len(), offset, length).map(|range| self.data.slice(range))
    }

    /// Bytes that the tensor would have if its dimensions of zero were one. An element of `BYTES` counts the four bytes of
    /// its length.
    pub fn extent_bytes(&self) -> u64 {
        // The product was bounded when the tensor was made.
        extent(&self.shape).unwrap_or(u64::MAX).saturating_mul(self.datatype.width().unwrap_or(4))
    }

    /// The elements of a `BYTES` tensor, as slices of its data.
    pub fn byte_strings(&self) -> ByteStrings<'_> {
        ByteStrings::new(&self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(datatype: Datatype, shape: &[u64], data: &'static [u8]) -> Result<Tensor, TensorError> {
        Tensor::new(datatype, shape.to_vec(), Bytes::from_static(data))
    }

    #[test]
    fn parts_must_fit_each_other() {
        assert!(tensor(Datatype::Fp32, &[2], &[0; 8]).is_ok());
        assert!(matches!(tensor(Datatype::Fp32, &[2, 3], &[0; 8]), Err(TensorError::Length { expected: 24, .. })));
        let good = tensor(Datatype::Bytes, &[2], b"\x02\0\0\0hi\0\0\0\0").unwrap();
        assert_eq!(good.byte_strings().collect::<Vec<_>>(), [&b"hi"[..], b""]);
        assert!(matches!(tensor(Datatype::Bytes, &[1], b"\x03\0\0\0hi"), Err(TensorError::Torn { .. })));
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
