//! Errors of the sandbox: the reasons why a plugin cannot be activated, or why a call of it has no result.

use wasmtime::Trap;

use super::host_state::HostState;
use super::sink::{Refused, SinkError};
use crate::config::format_bytes;
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
    /// Several imports that it cannot have, named together so that one try tells all of them.
    #[error("{}", sentences(.0))]
    Imports(Vec<ActivationError>),
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

/// Imports that one error names.
const NAMED_IMPORTS: usize = 16;
impl ActivationError {
    /// Translates the refusal of compiled code. wasmtime refuses a memory that does not fit a call's by a text alone, which
    /// names neither the key nor a unit.
    pub(crate) fn unloadable(error: wasmtime::Error) -> ActivationError {
        let text = format!("{error:#}");
        ActivationError::Compile(too_large_at_first(&text).unwrap_or(text))
    }
}

fn too_large_at_first(text: &str) -> Option<String> {
    let (_, sizes) = text.split_once("memory has a minimum byte size of ")?;
    let (needed, bound) = sizes.split_once(" which exceeds the limit of 0x")?;
    let (needed, bound) = (needed.parse().ok()?, u64::from_str_radix(bound.split(' ').next()?, 16).ok()?);
    let (needed, bound) = (format_bytes(needed), format_bytes(bound));
    Some(format!(
        "one of its memories begins with {needed}, and a call may have {bound} (the larger of call.memory and init.memory)"
    ))
}

/// The texts of several errors as one.
fn sentences(errors: &[ActivationError]) -> String {
    let mut texts: Vec<String> = errors.iter().take(NAMED_IMPORTS).map(ToString::to_string).collect();
    if let Some(more) = errors.len().checked_sub(NAMED_IMPORTS).filter(|more| *more > 0) {
        texts.push(format!("and {more} more of its imports are refused"));
    }
    texts.join("; ")
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
    /// `told` is true if whoever calls may read the reason.
    #[error("trapped: {reason}")]
    Trap { reason: String, told: bool },
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
    /// Translates an error of wasmtime into an error of the call. `bounds` has the call's limits, `state` what the plugin
    /// printed.
    pub(crate) fn from_wasmtime(error: wasmtime::Error, bounds: &Bounds, state: &HostState) -> CallError {
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
            Some(trap) => {
                CallError::Trap { reason: trapped(*trap, &error, state.last_words()), told: state.shared.dev }
            }
            // The import's own error; the context around it only repeats the guest's position.
            None => CallError::Trap {
                reason: format!("{}{}", error.root_cause(), where_in_wasm(&error)),
                told: state.shared.dev,
            },
        }
    }
}

/// The limits that wasmtime enforces without reporting their values.
pub(crate) struct Bounds {
    pub fuel: u64,
    pub stack: u64,
}

/// The reason of a trap. A panic and an abort are the same instruction, so what the plugin printed tells them apart.
fn trapped(trap: Trap, error: &wasmtime::Error, last_words: Option<String>) -> String {
    let place = where_in_wasm(error);
    match (trap, last_words) {
        (Trap::UnreachableCodeReached, Some(words)) => words,
        (Trap::UnreachableCodeReached, None) => format!("it panicked or aborted{place}, and printed nothing"),
        (Trap::MemoryOutOfBounds, _) if recurses(error) => {
            format!("its stack overflowed{place}: its functions call each other too deeply, or have large local arrays")
        }
        (trap, _) => format!("{trap}{place}"),
    }
}

/// How often a function is among the innermost frames of a deep recursion, at least.
const RECURSIONS: usize = 4;

/// True if one function is among the innermost frames again and again. Compilers put the stack of a component below its data,
/// so that a stack that overflows is an access below address 0.
fn recurses(error: &wasmtime::Error) -> bool {
    let frames =
        error.downcast_ref::<wasmtime::WasmBacktrace>().map(|backtrace| backtrace.frames()).unwrap_or_default();
    let same = |one: &wasmtime::FrameInfo| frames.iter().filter(|other| other.func_index() == one.func_index()).count();
    frames.iter().any(|frame| same(frame) >= RECURSIONS)
}

/// The innermost function of the guest that has a name.
fn where_in_wasm(error: &wasmtime::Error) -> String {
    let frames = error.downcast_ref::<wasmtime::WasmBacktrace>().map(|backtrace| backtrace.frames());
    let named = frames.into_iter().flatten().find_map(|frame| frame.func_name());
    named.map(|name| format!(" in {name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::*;

    /// Functions that trap. `deep` keeps its locals in memory and calls itself, as compilers lay the stack out.
    const TRAPS: &str = r#"(module
        (memory 1)
        (global $stack (mut i32) (i32.const 1024))
        (func $deep (export "deep")
            (global.set $stack (i32.sub (global.get $stack) (i32.const 64)))
            (i32.store (global.get $stack) (i32.const 1))
            (call $deep)
            (global.set $stack (i32.add (global.get $stack) (i32.const 64))))
        (func (export "outside") (i32.store (i32.const -8) (i32.const 1)))
        (func (export "abort") unreachable))"#;

    #[test]
    fn a_trap_says_what_happened() {
        let engine = Engine::default();
        let module = Module::new(&engine, wat::parse_str(TRAPS).unwrap()).unwrap();
        for (function, printed, wanted) in [
            ("deep", None, "its stack overflowed in deep"),
            ("outside", None, "out of bounds memory access"),
            ("abort", None, "it panicked or aborted"),
            ("abort", Some("panicked at src/lib.rs:3:4: no label"), "panicked at src/lib.rs:3:4: no label"),
        ] {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let called = instance.get_typed_func::<(), ()>(&mut store, function).unwrap().call(&mut store, ());
            let error = called.unwrap_err();
            let trap = *error.downcast_ref::<Trap>().unwrap();
            let text = trapped(trap, &error, printed.map(str::to_owned));
            assert!(text.contains(wanted), "{function}: {text}");
            assert!(!text.contains("unreachable"), "{function}: {text}");
        }
    }
}
