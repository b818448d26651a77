//! The whole system from outside: the real program, over HTTP and gRPC.

mod bad_input;
mod binary;
mod bundles;
mod children;
mod clients;
mod cli;
mod compression;
mod configuration;
mod digits;
mod extensions;
mod file_type;
mod grpc;
mod guide;
mod hostile;
mod metrics;
mod openapi;
mod protocol;
mod shutdown;
mod tfserving;
mod tls;
