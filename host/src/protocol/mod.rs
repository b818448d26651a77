//! The protocols of the clients' ports. Their wire types stay in this module; the rest of the host gets named tensors.

mod grpc;
pub mod oip;
mod openapi;
pub mod pb;
pub mod tfserving;

pub use grpc::{ReflectionError, router as grpc_router};
pub use oip::rest::routes::router as client_router;
