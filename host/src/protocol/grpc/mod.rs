//! Shared parts of all gRPC services: admission of calls, bodies, the recipe of an inference call, and health.

pub(super) mod admission;
pub(super) mod health;
pub(super) mod inference;
pub(super) mod request_body;
mod response_body;
