//! What holds for whatever a decoder was given.

use std::fmt::Display;

use bulkhead::tensor::{NamedTensors, Tensor};

/// For each byte that arrived. The most of it is taken by lists of almost empty things: the text of an element of eight
/// bytes has two, and a list holds up to three times its elements while it grows.
const BYTES_PER_BYTE: u64 = 48;

/// For what is always there, and for lists that begin with a room.
const BYTES_ALWAYS: u64 = 8 << 10;

/// Decodes, and looks at everything that came out. `room` is what the decoder was allowed besides.
pub fn decoded<E: Display>(
    arrived: usize,
    room: u64,
    decode: impl FnOnce() -> Result<NamedTensors, E>,
) -> Option<NamedTensors> {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(decode()));
    let bound = BYTES_ALWAYS + room + BYTES_PER_BYTE * arrived as u64;
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

/// How many elements of BYTES there are; `None` where the last is torn.
fn byte_strings(mut data: &[u8]) -> Option<u64> {
    let mut elements = 0;
    while let Some((length, rest)) = data.split_first_chunk() {
        data = rest.get(u32::from_le_bytes(*length) as usize..)?;
        elements += 1;
    }
    data.is_empty().then_some(elements)
}
