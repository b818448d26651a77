//! A tensor that is written piece by piece.

use super::{Datatype, TensorError, element_count};

/// Room for a tensor, and how much of it is filled.
#[derive(Debug)]
pub struct TensorBuilder {
    datatype: Datatype,
    shape: Vec<u64>,
    size: u64,
    data: Vec<u8>,
}

impl TensorBuilder {
    /// Allocates nothing yet; [`Self::size`] tells what it will take.
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

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), TensorError> {
        let (room, appended) = (self.size - self.data.len() as u64, bytes.len() as u64);
        if appended > room {
            return Err(TensorError::NoRoom { appended, room });
        }
        if self.data.capacity() == 0 {
            // Whoever made the builder has charged its size to the call.
            self.data.reserve_exact(self.size as usize);
        }
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    /// The parts of the tensor; [`super::Tensor::new`] says what is missing.
    pub fn into_parts(self) -> (Datatype, Vec<u64>, Vec<u8>) {
        (self.datatype, self.shape, self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_there_is_room_for() {
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
