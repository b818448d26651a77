//! Errors of the sandbox: the reasons why a plugin cannot be activated, or why a call of it has no result.

use wasmtime::Trap;

use super::sink::{Refused, SinkError};
use crate::tenant::{Capability, Exceeded, Limit};
use crate::tensor::SpecMismatch;
use crate::worker::WorkerError;

/// The sandbox itself cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cannot start: {0}")]
pub struct EngineError(String);

impl EngineError {
    pub(crate) fn new(error: wasmtime::Error) -> Self {
        EngineError(format!("{error:#}"))
    }
}

/// A plugin cannot be activated. The texts are for the plugin's author and the publisher of the bundle.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    #[error("the component has {bytes} bytes, and {bound} are allowed (compute.component-bytes)")]
    TooLarge { bytes: u64, bound: u64 },
    #[error("this is not a WebAssembly component: {0}; build it for wasm32-wasip2")]
    NotAComponent(String),
    #[error("it imports {import}, which needs the grant \"{capability}\": add it to `imports` in the manifest")]
    NotGranted { import: String, capability: Capability },
    #[error("it imports {import}, which no plugin can have: {reason}")]
    Forbidden { import: String, reason: &'static str },
    #[error("it does not export the functions of a stage or a generator: {0}")]
    NotAStage(String),
    #[error("its init refused to start: {0}")]
    InitRefused(String),
    #[error("its init {0}")]
    InitFailed(CallError),
    #[error("its init {exceeded} ({key})")]
    InitExceeded { exceeded: Exceeded, key: &'static str },
    #[error(
        "its init kept a handle; tensors, graphs and streams belong to a call: open them in process, and log with the logging import instead of printing"
    )]
    KeptHandles,
    #[error("its signature is not usable: {0}")]
    Signature(String),
    #[error("its snapshot could not be made: {0}")]
    Snapshot(String),
    #[error("it could not be compiled: {0}")]
    Compile(String),
    #[error("{step} {error}")]
    Worker { step: &'static str, error: WorkerError },
}

/// A call of a plugin has no result. The texts complete "the stage …".
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("refused the input: {0}")]
    InvalidInput(String),
    #[error("is unavailable: {0}")]
    Unavailable(String),
    #[error("failed: {0}")]
    Internal(String),
    #[error("{0}")]
    Exceeded(Exceeded),
    #[error("trapped: {reason}")]
    Trap { reason: String },
    #[error("ended itself with status {0}; a stage returns its result instead")]
    Exited(i32),
    #[error("gave a wrong result: {0}")]
    Output(#[from] SpecMismatch),
    /// The sink that takes a generator's responses ended the call.
    #[error("gave an answer that could not be taken: {0}")]
    Sink(SinkError),
}

impl From<CallError> for ActivationError {
    fn from(error: CallError) -> Self {
        let CallError::Exceeded(exceeded) = error else { return ActivationError::InitFailed(error) };
        ActivationError::InitExceeded { exceeded, key: exceeded.limit.init_key() }
    }
}

impl CallError {
    /// Translates an error of wasmtime into an error of the call. `bounds` has the call's limits.
    pub(crate) fn from_wasmtime(error: wasmtime::Error, bounds: &Bounds) -> CallError {
        if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
            return CallError::Exceeded(*exceeded);
        }
        if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            return CallError::Exited(exit.0);
        }
        let error = match error.downcast::<Refused>() {
            Ok(Refused(error)) => return CallError::Sink(error),
            Err(error) => error,
        };
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => CallError::Exceeded(Exceeded::whole(Limit::Fuel, bounds.fuel)),
            Some(Trap::StackOverflow) => CallError::Exceeded(Exceeded::whole(Limit::Stack, bounds.stack)),
            Some(trap) => CallError::Trap { reason: format!("{trap}{}", where_in_wasm(&error)) },
            // The import's own error; the context around it only repeats the guest's position.
            None => CallError::Trap { reason: format!("{}{}", error.root_cause(), where_in_wasm(&error)) },
        }
    }
}

/// The limits that wasmtime enforces without reporting their values.
pub(crate) struct Bounds {
    pub fuel: u64,
    pub stack: u64,
}

/// The innermost function of the guest that has a name.
fn where_in_wasm(error: &wasmtime::Error) -> String {
    let frames = error.downcast_ref::<wasmtime::WasmBacktrace>().map(|backtrace| backtrace.frames());
    let named = frames.into_iter().flatten().find_map(|frame| frame.func_name());
    named.map(|name| format!(" in {name}")).unwrap_or_default()
}
