//! Invariants that hold for any input of a decoder.

use std::fmt::Display;

use bulkhead::tensor::{NamedTensors, Tensor};

/// Memory that decoding may take for each byte that arrived. Lists of tiny elements need most of it: an element of eight
/// bytes can have a text of two, and a growing list holds up to three times its elements.
const BYTES_PER_BYTE: u64 = 48;

/// Memory that decoding may always take, for fixed structures and the initial capacity of lists.
const BYTES_ALWAYS: u64 = 8 << 10;

/// Decodes an input and checks the result and the memory used. `allowance` is additional memory that the decoder may take.
pub(crate) fn decoded<E: Display>(
    arrived: usize,
    allowance: u64,
    decode: impl FnOnce() -> Result<NamedTensors, E>,
) -> Option<NamedTensors> {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(decode()));
    let bound = BYTES_ALWAYS + allowance + BYTES_PER_BYTE * arrived as u64;
    assert!(used.bytes_max <= bound, "{arrived} bytes took {} of memory, and {bound} are the most", used.bytes_max);
    match result? {
        Ok(tensors) => {
            tensors.iter().for_each(|(_, tensor)| check(tensor));
            Some(tensors)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn check(tensor: &Tensor) {
    let elements = if tensor.shape().contains(&0) { 0 } else { tensor.shape().iter().product() };
    let bytes = tensor.data().len() as u64;
    match tensor.datatype().width() {
        Some(width) => assert_eq!(bytes, elements * width, "{tensor:?}"),
        None => assert_eq!(byte_strings(tensor.data()), Some(elements), "{tensor:?}"),
    }
}

/// Number of BYTES elements; `None` if the last one is truncated.
fn byte_strings(mut data: &[u8]) -> Option<u64> {
    let mut elements = 0;
    while let Some((length, rest)) = data.split_first_chunk() {
        data = rest.get(u32::from_le_bytes(*length) as usize..)?;
        elements += 1;
    }
    data.is_empty().then_some(elements)
}
