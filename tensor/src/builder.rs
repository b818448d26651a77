//! A builder for a tensor that is written piece by piece.

use crate::{Datatype, TensorError, element_count, to_usize};

/// Datatype and shape of a tensor, and the data that was appended so far.
#[derive(Debug)]
pub struct TensorBuilder {
    datatype: Datatype,
    shape: Vec<u64>,
    size: u64,
    data: Vec<u8>,
}

impl TensorBuilder {
    /// Allocates nothing yet, so that the caller can charge [`Self::size`] first. Fails for `BYTES`, whose shape does not
    /// determine its size, and for a shape of too many elements.
    pub fn new(datatype: Datatype, shape: Vec<u64>) -> Result<TensorBuilder, TensorError> {
        let width = datatype.width().ok_or(TensorError::SizeUnknown)?;
        let too_many = || TensorError::TooManyElements { shape: shape.clone() };
        let size = element_count(&shape)?.checked_mul(width).ok_or_else(too_many)?;
        Ok(TensorBuilder { datatype, shape, size, data: Vec::new() })
    }

    /// Bytes of the finished tensor.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fails, and appends nothing, if the bytes would exceed the size of the tensor.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), TensorError> {
        let (room, appended) = (self.size - self.data.len() as u64, bytes.len() as u64);
        if appended > room {
            return Err(TensorError::NoRoom { appended, room });
        }
        if self.data.capacity() == 0 {
            // A size that cannot be reserved is a size that pieces will not reach.
            let _ = self.data.try_reserve_exact(to_usize(self.size));
        }
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    /// The parts of the tensor. [`check_data`](crate::check_data) reports data that is missing.
    pub fn into_parts(self) -> (Datatype, Vec<u64>, Vec<u8>) {
        (self.datatype, self.shape, self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_bytes_up_to_its_size() {
        let mut builder = TensorBuilder::new(Datatype::Fp32, vec![2, 2]).unwrap();
        assert_eq!(builder.size(), 16);
        builder.append(&[1; 10]).unwrap();
        assert_eq!(builder.append(&[1; 7]), Err(TensorError::NoRoom { appended: 7, room: 6 }));
        builder.append(&[2; 6]).unwrap();
        assert_eq!(builder.into_parts().2.len(), 16);
    }

    #[test]
    fn needs_a_size() {
        assert_eq!(TensorBuilder::new(Datatype::Bytes, vec![1]).unwrap_err(), TensorError::SizeUnknown);
        assert!(TensorBuilder::new(Datatype::Fp64, vec![1 << 61]).is_err());
    }
}
