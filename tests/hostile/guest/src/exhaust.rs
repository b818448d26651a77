//! Misdeeds that each use up one resource of a call without end.

use std::hint::black_box;

use bulkhead_guest::prelude::*;

/// Burns fuel as fast as the processor can, so that fuel runs out long before time does.
pub(crate) fn fuel() -> ! {
    let mut lanes = black_box([1u64, 2, 3, 4]);
    loop {
        for _ in 0..1024 {
            // The lanes are independent, so that the processor computes them in parallel.
            lanes = lanes.map(|lane| {
                let lane = lane ^ (lane << 13);
                let lane = lane ^ (lane >> 7);
                lane ^ (lane << 17)
            });
        }
        lanes = black_box(lanes);
    }
}

pub(crate) fn stack() -> ! {
    dive(0);
    unreachable!("the dive has no bottom")
}

/// Recurses without end; `black_box` prevents the compiler from making a loop of it. A frame uses little of the stack in
/// linear memory, so the native stack is exhausted first.
#[expect(unconditional_recursion)]
#[inline(never)]
fn dive(depth: u64) -> u64 {
    black_box(dive(black_box(depth) + 1)) + 1
}

pub(crate) fn memory() -> ! {
    let mut hoard = Vec::new();
    loop {
        // Filled with ones, because zeroed pages that were never written may cost no memory.
        hoard.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Allocates more than the limit in one step, but no more than a vector can hold in Rust, which is `isize::MAX` bytes.
pub(crate) fn memory_at_once() -> Result<Outputs, Failure> {
    const ELEMENTS: usize = 500_000_000;
    let zeroes = black_box(vec![0.0f32; ELEMENTS]);
    Ok(Outputs::new().with("y", Tensor::new(&[ELEMENTS as u64], &zeroes)?))
}

/// Fills the host's memory instead of the guest's own.
pub(crate) fn host_memory() -> Result<Outputs, Failure> {
    let mebibyte = vec![0u8; 1 << 20];
    let mut hoard = Vec::new();
    loop {
        hoard.push(Tensor::new(&[1 << 20], &mebibyte)?);
    }
}

/// Creates handles without end: they cost the host memory that is not part of any tensor's size.
pub(crate) fn handles() -> Result<Outputs, Failure> {
    let mut hoard = Vec::new();
    for _ in 0..1_000_000 {
        hoard.push(Tensor::new::<f32>(&[0], &[])?);
    }
    Err(Failure::internal(format!("nobody stopped it at {} handles", hoard.len())))
}

pub(crate) fn log() -> ! {
    loop {
        println!("all work and no play makes jack a dull boy");
    }
}

/// Reads one element of a tensor without end: each read is a call of the host.
pub(crate) fn host_calls(x: &Tensor) -> Result<Outputs, Failure> {
    loop {
        black_box(x.elements::<f32>(0..1)?);
    }
}
