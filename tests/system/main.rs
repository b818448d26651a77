//! The whole system from outside: the real program, over HTTP.

mod bad_input;
mod binary;
mod clients;
mod compression;
mod configuration;
mod digits;
mod extensions;
mod file_type;
mod hostile;
mod metrics;
mod openapi;
mod protocol;
mod shutdown;
