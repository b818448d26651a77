//! The protocols of the clients' ports. Their wire types stay in this module; the rest of the host gets named tensors. The
//! protocols do not use each other.

mod front;
mod grpc;
pub mod oip;
mod openapi;
pub mod pb;
mod router;
pub mod tfserving;

pub use router::{ReflectionError, client_router, grpc_router};
