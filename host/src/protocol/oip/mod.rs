//! The Open Inference Protocol over HTTP and gRPC, with its extensions.
mod body;
pub mod extensions;
pub mod grpc;
pub mod json;
mod model_config;
pub mod rest;
pub mod types;
