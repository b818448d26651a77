//! The whole system from outside: the real program, over HTTP and gRPC.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it misses by failing")]

mod at_once;
mod bad_input;
mod binary;
mod bundles;
mod children;
mod cli;
mod clients;
mod compression;
mod configuration;
mod digits;
mod extensions;
mod file_type;
mod grpc;
mod guide;
mod hostile;
mod isolation;
mod kill;
mod limits;
mod metrics;
mod openapi;
mod protocol;
mod restart;
mod shutdown;
mod stages;
mod tenants;
mod tfserving;
mod tls;
mod uploads;
mod versions;
