//! What the benchmarks share: a client that costs little, the product as a program, and medians of two things in turn.

pub mod client;
pub mod grpc;
pub mod host;
pub mod measure;
pub mod numbers;
pub mod progress;
