//! Tests of the whole system from outside: the real program, over HTTP and gRPC.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test says what it misses by failing")]

mod archives;
mod bad_input;
mod binary;
mod bundles;
mod children;
mod cli;
mod clients;
mod compression;
mod concurrency;
mod configuration;
mod connections;
mod contract;
mod corruption;
mod digits;
mod extensions;
mod file_type;
mod grpc;
mod guide;
mod hostile;
mod hostile_graphs;
mod isolation;
mod kill;
mod limits;
mod metrics;
mod openapi;
mod perf_analyzer;
mod protocol;
mod resident;
mod restart;
mod rights;
mod romanize;
mod runners;
mod shutdown;
mod snippets;
mod stages;
mod streaming;
mod tenants;
mod tensor_rules;
mod tfserving;
mod tls;
mod upload_turns;
mod uploads;
mod versions;
mod victim;
