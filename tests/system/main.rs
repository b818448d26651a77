//! The whole system from outside: the real program, over HTTP.

mod bad_input;
mod children;
mod configuration;
mod digits;
mod file_type;
mod hostile;
mod metrics;
mod protocol;
mod shutdown;
mod tls;
