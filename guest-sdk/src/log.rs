//! Lines in the host's log, marked with the model, the stage and the request. The manifest asks for
//! `imports = ["logging"]`. Each call may log a bounded number of bytes; past it the call ends with an error.

use crate::backend;

/// Severity of a line. The host shows `Info` and above unless it is configured otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

pub fn trace(message: impl AsRef<str>) {
    backend::log(Level::Trace, message.as_ref());
}

pub fn debug(message: impl AsRef<str>) {
    backend::log(Level::Debug, message.as_ref());
}

pub fn info(message: impl AsRef<str>) {
    backend::log(Level::Info, message.as_ref());
}

pub fn warn(message: impl AsRef<str>) {
    backend::log(Level::Warn, message.as_ref());
}

pub fn error(message: impl AsRef<str>) {
    backend::log(Level::Error, message.as_ref());
}
