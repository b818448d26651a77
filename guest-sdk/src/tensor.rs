//! Tensors as a plugin sees them: a handle to data in the host, and typed views of what was copied from it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use bulkhead_tensor::{ByteStrings, element_count, push_byte_string};

use crate::backend::{BuilderHandle, Handle};
use crate::{Datatype, Element};

/// An immutable tensor that lives in the host. Holding one costs nothing; reading copies only what is read.
pub struct Tensor {
    pub(crate) handle: Handle,
    datatype: Datatype,
    shape: Vec<u64>,
    byte_size: u64,
}

/// A misuse of a tensor: wrong datatype, range or shape. As the host checks every input against the signature, this is
/// the plugin's own fault, and becomes [`Failure::Internal`](crate::Failure::Internal) under `?`.
#[derive(Debug)]
pub struct TensorError(pub(crate) String);

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TensorError {}

impl Tensor {
    /// A tensor of `values`, row-major; an error when their number is not the product of `shape`.
    pub fn new<T: Element>(shape: &[u64], values: &[T]) -> Result<Tensor, TensorError> {
        Self::create(T::DATATYPE, shape, bytemuck::cast_slice(values))
    }

    /// A `BOOL` tensor.
    pub fn bools(shape: &[u64], values: &[bool]) -> Result<Tensor, TensorError> {
        Self::create(Datatype::Bool, shape, bytemuck::cast_slice(values))
    }

    /// A `BYTES` tensor of text or of any bytes.
    pub fn bytes<B: AsRef<[u8]>>(shape: &[u64], values: &[B]) -> Result<Tensor, TensorError> {
        let mut data = Vec::with_capacity(values.iter().map(|v| 4 + v.as_ref().len()).sum());
        for value in values {
            let value = value.as_ref();
            if u32::try_from(value.len()).is_err() {
                return Err(TensorError(format!("an element of {} bytes is over 4 GiB", value.len())));
            }
            push_byte_string(&mut data, value);
        }
        Self::create(Datatype::Bytes, shape, &data)
    }

    fn create(datatype: Datatype, shape: &[u64], data: &[u8]) -> Result<Tensor, TensorError> {
        Handle::create(datatype, shape, data).map(Tensor::from_handle).map_err(TensorError)
    }

    pub(crate) fn from_handle(handle: Handle) -> Tensor {
        let (datatype, shape, byte_size) = handle.describe();
        Tensor { handle, datatype, shape, byte_size }
    }

    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// Elements along each dimension, slowest first.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Length of the data in bytes, length prefixes of `BYTES` included.
    pub fn byte_size(&self) -> u64 {
        self.byte_size
    }

    /// The same bytes under another shape; nothing is copied.
    pub fn reshape(&self, shape: &[u64]) -> Result<Tensor, TensorError> {
        self.handle.reshape(shape).map(Tensor::from_handle).map_err(TensorError)
    }

    /// Bytes of the data as they lie in the host: little-endian, row-major. Only this range is copied.
    pub fn raw(&self, range: Range<u64>) -> Result<Vec<u8>, TensorError> {
        let length = range.end.saturating_sub(range.start);
        self.handle.read(range.start, length).map_err(TensorError)
    }

    /// All elements, copied once.
    pub fn view<T: Element>(&self) -> Result<View<T>, TensorError> {
        self.check::<T>()?;
        Ok(View { values: Values::from_raw(self.raw(0..self.byte_size)?), shape: self.shape.clone() })
    }

    /// The elements `range` of the flattened tensor; only these are copied.
    pub fn elements<T: Element>(&self, range: Range<u64>) -> Result<View<T>, TensorError> {
        self.check::<T>()?;
        let size = size_of::<T>() as u64;
        let raw = self.raw(range.start.saturating_mul(size)..range.end.saturating_mul(size))?;
        Ok(View { values: Values::from_raw(raw), shape: vec![range.end.saturating_sub(range.start)] })
    }

    /// The elements of a `BYTES` tensor.
    pub fn byte_strings(&self) -> Result<Vec<Vec<u8>>, TensorError> {
        self.check_bytes()?;
        let raw = self.raw(0..self.byte_size)?;
        Ok(ByteStrings::new(&raw).map(<[u8]>::to_vec).collect())
    }

    /// The range of each element of a `BYTES` tensor, for [`Self::raw`]. Reads only the lengths, so that a stage that needs
    /// the first kilobyte of a large file copies no more than that.
    pub fn byte_string_ranges(&self) -> Result<Vec<Range<u64>>, TensorError> {
        self.check_bytes()?;
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < self.byte_size {
            let prefix = self.raw(at..at + 4)?;
            let length = prefix.first_chunk::<4>().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
            ranges.push(at + 4..at + 4 + length);
            at += 4 + length;
        }
        Ok(ranges)
    }

    /// The only element of a `BYTES` tensor that holds one, without a second copy.
    pub fn byte_string(&self) -> Result<Vec<u8>, TensorError> {
        self.check_bytes()?;
        match element_count(&self.shape) {
            Ok(1) => self.raw(4..self.byte_size),
            Ok(elements) => Err(TensorError(format!("the tensor has {elements} elements, and one is wanted"))),
            Err(error) => Err(TensorError(error.sentence())),
        }
    }

    fn check_bytes(&self) -> Result<(), TensorError> {
        match self.datatype {
            Datatype::Bytes => Ok(()),
            other => Err(TensorError(format!("the tensor has datatype {other}, and BYTES is wanted"))),
        }
    }

    fn check<T: Element>(&self) -> Result<(), TensorError> {
        if T::fits(self.datatype) {
            return Ok(());
        }
        Err(TensorError(format!("the tensor has datatype {}, and {} is wanted", self.datatype, T::DATATYPE)))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{:?}", self.datatype, self.shape)
    }
}

/// A tensor that is written piece by piece, in order: for results that are large, so that they need not lie in the
/// plugin's memory as a whole. What a call touches of its memory is what it pays for most.
pub struct TensorBuilder<T> {
    handle: BuilderHandle,
    element: PhantomData<T>,
}

impl<T: Element> TensorBuilder<T> {
    /// Reserves the whole tensor in the host.
    pub fn new(shape: &[u64]) -> Result<TensorBuilder<T>, TensorError> {
        let handle = BuilderHandle::create(T::DATATYPE, shape).map_err(TensorError)?;
        Ok(TensorBuilder { handle, element: PhantomData })
    }

    /// The next elements, row-major. Pieces of some ten thousand bytes are good: each costs a call of the host.
    pub fn extend(&mut self, values: &[T]) -> Result<(), TensorError> {
        self.handle.append(bytemuck::cast_slice(values)).map_err(TensorError)
    }

    /// An error when elements are missing.
    pub fn finish(self) -> Result<Tensor, TensorError> {
        self.handle.finish().map(Tensor::from_handle).map_err(TensorError)
    }
}

/// Typed elements of a tensor, copied into the plugin's memory. Reads as a slice: `view[3]`, `view.iter()`.
pub struct View<T> {
    values: Values<T>,
    shape: Vec<u64>,
}

impl<T: Element> View<T> {
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The slices along the last dimension, in order: the rows of a matrix. An empty last dimension has no rows.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, T> {
        let width = self.shape.last().map_or(1, |width| usize::try_from(*width).unwrap_or(usize::MAX));
        self.chunks_exact(width.max(1))
    }
}

impl<T: Element> Deref for View<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.values {
            Values::Aligned(raw) => bytemuck::cast_slice(raw),
            Values::Copied(values) => values,
        }
    }
}

/// Bytes from the host usually arrive aligned for any element type, and are then used where they lie.
enum Values<T> {
    Aligned(Vec<u8>),
    Copied(Vec<T>),
}

impl<T: Element> Values<T> {
    fn from_raw(raw: Vec<u8>) -> Values<T> {
        match bytemuck::try_cast_slice::<u8, T>(&raw) {
            Ok(_) => Values::Aligned(raw),
            Err(_) => Values::Copied(bytemuck::pod_collect_to_vec(&raw)),
        }
    }
}
