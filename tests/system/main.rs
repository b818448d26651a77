//! The whole system from outside: the real program, over HTTP and gRPC.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test says what it misses by failing")]

mod archives;
mod at_once;
mod bad_input;
mod binary;
mod bundles;
mod compression;
mod configuration;
mod damage;
mod digits;
mod extensions;
mod file_type;
mod grpc;
mod hostile;
mod isolation;
mod kill;
mod limits;
mod metrics;
mod protocol;
mod restart;
mod shutdown;
mod stages;
mod tenants;
mod uploads;
mod versions;
