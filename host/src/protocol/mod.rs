//! The protocols that clients speak. Wire types stay here; what goes further in is named tensors.

mod grpc;
pub mod oip;
mod openapi;
pub mod pb;
pub mod tfserving;

pub use grpc::{ReflectionError, router as grpc_router};
pub use oip::rest::routes::router as client_router;
