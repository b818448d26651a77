//! The Open Inference Protocol over HTTP.
mod infer;
pub mod path;
pub mod routes;
