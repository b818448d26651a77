//! Shared parts of all gRPC services: admission of calls, bodies, the recipe of an inference call, and health.

pub mod admission;
pub mod health;
pub mod inference;
pub mod request_body;
mod response_body;
