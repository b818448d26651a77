//! Random graphs: whether what a run is charged bounds the time and the memory that it takes.
//!
//! A seed makes a graph of one to six operators, as an ONNX file, and the inputs of a run. The graph is loaded and run by
//! the host's runtime under limits that are a hundredth of the default ones, and [`check`] measures the run. Loading is not measured: the host
//! leaves it to a child process with limits of its own.

mod builder;
mod bytes;
mod generate;
mod images;
mod measure;
mod operators;

pub use measure::{Load, Outcome, Ran, Report, check, check_file};

/// The ONNX file that a seed makes, for a look at a graph that failed.
pub fn file_of(seed: u64) -> Vec<u8> {
    generate::graph(&mut bytes::Bytes::of_seed(seed))
}
