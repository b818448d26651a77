//! The REST API of the Open Inference Protocol.
mod infer;
pub mod path;
pub mod routes;
