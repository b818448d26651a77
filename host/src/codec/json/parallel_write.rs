//! The elements of an output as JSON; of a large one, idle cores write parts.

use bytes::Bytes;
use serde::ser::Error;

use super::writer::{Bounded, Data};
use crate::scheduler::parallel_map;
use crate::tensor::{Datatype, Tensor};

/// Elements that are written in a fraction of a millisecond.
const PART: usize = 4096;

/// Fewer are not worth waking anybody.
const LARGE: usize = 4 * PART;

/// What is written before it is looked at whether it fits.
const ROUND: usize = 64 * PART;

/// An array of the tensor's elements.
pub fn write(tensor: &Tensor, out: &mut Bounded) -> serde_json::Result<()> {
    let (datatype, data) = (tensor.datatype(), tensor.data());
    match datatype.width() {
        Some(width) if data.len() >= LARGE * width as usize => write_in_parts(datatype, width as usize, data, out),
        _ => {
            out.reserve(guess(tensor));
            serde_json::to_writer(out, &Data { tensor, bare: false })
        }
    }
}

/// How long it becomes, about: random numbers take three characters for each of their bytes.
fn guess(tensor: &Tensor) -> usize {
    3 * tensor.data().len()
}

fn write_in_parts(datatype: Datatype, width: usize, data: &Bytes, out: &mut Bounded) -> serde_json::Result<()> {
    for (at, round) in slices(data, ROUND * width).enumerate() {
        let parts: Vec<Bytes> = slices(&round, PART * width).collect();
        let count = parts.len();
        let part = move |part: usize| write_part(datatype, width, &parts[part], at + part == 0);
        for part in parallel_map(count, part) {
            out.piece(part?)?;
        }
    }
    out.raw(b"]")
}

/// An array without its end, which begins with the bracket or, where it goes on, with a comma.
fn write_part(datatype: Datatype, width: usize, data: &Bytes, first: bool) -> serde_json::Result<Bytes> {
    // A tensor of its own, cut at whole elements.
    let shape = vec![(data.len() / width) as u64];
    let tensor = Tensor::new(datatype, shape, data.clone()).map_err(serde_json::Error::custom)?;
    let mut json = Vec::with_capacity(guess(&tensor));
    serde_json::to_writer(&mut json, &Data { tensor: &tensor, bare: false })?;
    json.pop();
    if !first {
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
    fn parts_are_what_the_whole_is() {
        for count in [LARGE - 1, LARGE, LARGE + 1, ROUND, 2 * ROUND + 3 * PART + 7] {
            let numbers: Vec<f32> = (0..count).map(|at| at as f32 / 3.0).collect();
            let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let tensor = Tensor::new(Datatype::Fp32, vec![count as u64], data.into()).unwrap();
            let mut out = Bounded::new(usize::MAX);
            write(&tensor, &mut out).unwrap();
            assert_eq!(out.into_pieces().concat(), serde_json::to_vec(&numbers).unwrap(), "{count}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let tensor = Tensor::new(Datatype::Uint8, vec![1 << 20], vec![7; 1 << 20].into()).unwrap();
        let mut out = Bounded::new(1 << 20);
        assert!(write(&tensor, &mut out).unwrap_err().is_io());
    }
}
