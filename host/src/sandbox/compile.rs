//! Compilation of components, the first step that reads their bytes. A [`Compile`] is the job of a child process (`bulkhead
//! worker compile`). The child also instruments the component for the snapshot, so that this process repeats on untrusted
//! bytes only what a child survived.

use bulkhead_digest::Digest;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmtime::{Config, Engine};
use wasmtime_wizer::{ComponentContext, Wizer};

use super::import_names::import_names;
use super::imports::wasi;
use super::{ActivationError, cost};
use crate::config::clip;
use crate::tenant::{Capability, Grants};
use crate::worker::{Job, OwnMemory, Workers};

/// The job of compiling the bytes of a component.
#[derive(Serialize, Deserialize)]
pub struct Compile {
    /// True if the accessors that a snapshot is read through are added, provided that the component can be snapshotted.
    instrument: bool,
    /// What the plugin may import. Without a grant that it needs, it is not compiled.
    grants: Vec<Capability>,
}

#[derive(Serialize, Deserialize)]
pub enum Compiled {
    /// The code is that of the component itself.
    Plain,
    /// The code is that of the instrumented component, whose bytes have this digest.
    Instrumented(Digest),
    Failed(String),
    /// It is no component, for this reason.
    NotAComponent(String),
    /// Some of these imports of the component cannot be had.
    Imports(Vec<String>),
}

impl Job for Compile {
    const NAME: &'static str = "compile";
    type Answer = Compiled;

    fn work(self, wasm: &[u8], _: &OwnMemory) -> (Compiled, Vec<u8>) {
        let grants = self.grants.iter().copied().collect();
        match import_names(wasm) {
            Ok(names) if wasi::check_imports(names.iter().map(String::as_str), &grants).is_err() => {
                return (Compiled::Imports(names), Vec::new());
            }
            Ok(_) => {}
            Err(error) => return (Compiled::NotAComponent(error), Vec::new()),
        }
        let instrumented = if self.instrument { instrument(wasm) } else { None };
        let code = match &instrumented {
            Some((_, wasm)) => precompile(wasm),
            None => precompile(wasm),
        };
        match (code, instrumented) {
            (Ok(code), Some((_, wasm))) => (Compiled::Instrumented(Digest::of(&wasm)), code),
            (Ok(code), None) => (Compiled::Plain, code),
            (Err(error), _) => (Compiled::Failed(clip(format!("{error:#}"))), Vec::new()),
        }
    }
}

/// Checks that the bytes are a component, and its imports against grants, as its activation does first.
pub fn check_component(component: &[u8], grants: &Grants) -> Result<(), ActivationError> {
    let names = import_names(component).map_err(ActivationError::NotAComponent)?;
    wasi::check_imports(names.iter().map(String::as_str), grants)
}

/// Instruments a component; `None` if it cannot be snapshotted.
fn instrument(wasm: &[u8]) -> Option<(ComponentContext<'_>, Vec<u8>)> {
    Wizer::new().instrument_component(wasm).ok()
}

/// Compiles in an engine without an instance pool: nothing runs in it, so it reserves no memory for instances.
fn precompile(wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    Engine::new(&code_settings())?.precompile_component(wasm)
}

/// The settings that affect the generated code. Engines that agree on them can load each other's code.
pub(crate) fn code_settings() -> Config {
    let mut settings = Config::new();
    settings
        // Component-model async is not used, and switching it off makes calls three times cheaper.
        .concurrency_support(false)
        .consume_fuel(true)
        .operator_cost(cost::operators())
        .epoch_interruption(true)
        // Results must not depend on the processor that a plugin happens to run on.
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false);
    settings
}

/// The code that a child compiled, and the context that is needed to read a snapshot out of an instance of it.
pub(crate) struct Code<'a> {
    pub bytes: Bytes,
    pub context: Option<ComponentContext<'a>>,
}

/// `step` names the current step in errors.
pub(crate) async fn plain(
    workers: &Workers,
    wasm: &Bytes,
    grants: &Grants,
    step: &'static str,
) -> Result<Code<'static>, ActivationError> {
    let (_, bytes) = run(workers, wasm, false, grants, step).await?;
    Ok(Code { bytes, context: None })
}

pub(crate) async fn instrumented<'a>(
    workers: &Workers,
    wasm: &'a Bytes,
    grants: &Grants,
) -> Result<Code<'a>, ActivationError> {
    let (compiled, bytes) = run(workers, wasm, true, grants, COMPILING).await?;
    let Compiled::Instrumented(expected) = compiled else { return Ok(Code { bytes, context: None }) };
    // A child survived this on the same bytes, and the instrumentation is deterministic.
    match instrument(wasm) {
        Some((context, wasm)) if Digest::of(&wasm) == expected => Ok(Code { bytes, context: Some(context) }),
        _ => Err(ActivationError::Snapshot("instrumenting it twice gave two different components".into())),
    }
}

pub(crate) const COMPILING: &str = "compiling it";
pub(crate) const COMPILING_SNAPSHOT: &str = "compiling its snapshot";

async fn run(
    workers: &Workers,
    wasm: &Bytes,
    instrument: bool,
    grants: &Grants,
    step: &'static str,
) -> Result<(Compiled, Bytes), ActivationError> {
    let granted = Capability::ALL.into_iter().filter(|capability| grants.has(*capability)).collect();
    match workers.run(Compile { instrument, grants: granted }, wasm).await {
        Ok((Compiled::Imports(names), _)) => {
            wasi::check_imports(names.iter().map(String::as_str), grants)?;
            Err(ActivationError::Compile("its imports were refused without a reason".into()))
        }
        Ok((Compiled::NotAComponent(reason), _)) => Err(ActivationError::NotAComponent(reason)),
        Ok((Compiled::Failed(reason), _)) => Err(ActivationError::Compile(reason)),
        Ok(answer) => Ok(answer),
        Err(error) => Err(ActivationError::Worker { step, error }),
    }
}
