//! The Open Inference Protocol over gRPC.
pub mod config;
pub mod decode;
pub mod infer;
pub mod service;
mod settings;
mod stream;
