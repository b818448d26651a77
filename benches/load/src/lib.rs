//! Shared code of the benchmarks: a load generator that uses little CPU time, the host as a process, and medians of
//! alternating measurements.

pub mod client;
pub mod grpc;
pub mod host;
pub mod measure;
pub mod numbers;
pub mod progress;
