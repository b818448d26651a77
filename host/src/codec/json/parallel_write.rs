//! The writer of an output's elements as JSON. It cuts a large tensor into parts, and idle cores help to write them.

use bytes::Bytes;
use serde::ser::Error;

use super::writer::{Bounded, Data};
use crate::numbers::to_usize;
use crate::scheduler::CallContext;
use crate::tensor::{Datatype, Tensor};

/// Elements of a part, few enough to be written in a fraction of a millisecond.
const PART: usize = 4096;

/// Smallest number of elements that is worth waking other threads for.
const LARGE: usize = 4 * PART;

/// Elements that are written before their size is checked against the bound of the reply.
const ROUND: usize = 64 * PART;

/// Writes the tensor's elements as one flat array; idle cores of the call help with a large one. An I/O error means that the
/// bound of `out` is exceeded.
pub fn write(context: &CallContext, tensor: &Tensor, out: &mut Bounded) -> serde_json::Result<()> {
    let (datatype, data) = (tensor.datatype(), tensor.data());
    match datatype.width().map(to_usize) {
        Some(width) if data.len() >= LARGE * width => write_in_parts(context, datatype, width, data, out),
        _ => {
            out.reserve(guess(tensor));
            serde_json::to_writer(out, &Data { tensor })
        }
    }
}

/// Estimated length of the tensor's JSON in bytes: random numbers take three characters for each of their bytes.
fn guess(tensor: &Tensor) -> usize {
    3 * tensor.data().len()
}

fn write_in_parts(
    context: &CallContext,
    datatype: Datatype,
    width: usize,
    data: &Bytes,
    out: &mut Bounded,
) -> serde_json::Result<()> {
    for (at, round) in slices(data, ROUND * width).enumerate() {
        let parts: Vec<Bytes> = slices(&round, PART * width).collect();
        let count = parts.len();
        // `parallel_map` passes each number below `count`.
        let part = move |part: usize| write_part(datatype, width, &parts[part], at + part == 0);
        for part in context.parallel_map(count, part) {
            out.piece(part?)?;
        }
    }
    out.raw(b"]")
}

/// Writes a part of an array without the closing bracket. The first part begins with the opening bracket, the others with a
/// comma.
fn write_part(datatype: Datatype, width: usize, data: &Bytes, first: bool) -> serde_json::Result<Bytes> {
    // The part becomes a tensor of its own; it was cut at whole elements.
    let shape = vec![(data.len() / width) as u64];
    let tensor = Tensor::new(datatype, shape, data.clone()).map_err(serde_json::Error::custom)?;
    let mut json = Vec::with_capacity(guess(&tensor));
    serde_json::to_writer(&mut json, &Data { tensor: &tensor })?;
    json.pop();
    if !first {
        // The array's opening bracket.
        json[0] = b',';
    }
    Ok(json.into())
}

fn slices(data: &Bytes, size: usize) -> impl Iterator<Item = Bytes> {
    (0..data.len()).step_by(size).map(move |at| data.slice(at..data.len().min(at + size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_give_the_same_json_as_the_whole() {
        for count in [LARGE - 1, LARGE, LARGE + 1, ROUND, 2 * ROUND + 3 * PART + 7] {
            let numbers: Vec<f32> = (0..count).map(|at| at as f32 / 3.0).collect();
            let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let tensor = Tensor::new(Datatype::Fp32, vec![count as u64], data.into()).unwrap();
            let mut out = Bounded::new(usize::MAX);
            write(&CallContext::without_cores(), &tensor, &mut out).unwrap();
            assert_eq!(out.into_pieces().concat(), serde_json::to_vec(&numbers).unwrap(), "{count}");
        }
    }

    #[test]
    fn output_beyond_the_bound_is_refused() {
        let tensor = Tensor::new(Datatype::Uint8, vec![1 << 20], vec![7; 1 << 20].into()).unwrap();
        let mut out = Bounded::new(1 << 20);
        assert!(write(&CallContext::without_cores(), &tensor, &mut out).unwrap_err().is_io());
    }
}
