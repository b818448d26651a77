//! Compiling: the first that is ever done with the bytes of a component. A [`Compile`] is the job of a child process
//! (`bulkhead worker compile`); it instruments for the snapshot there, too, so that this process repeats on a stranger's
//! bytes only what a child survived.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmtime::{Config, Engine};
use wasmtime_wizer::{ComponentContext, Wizer};

use super::ActivationError;
use crate::cache::{Digest, digest};
use crate::config::clip;
use crate::worker::{Job, Workers};

/// To be done with the bytes of a component.
#[derive(Serialize, Deserialize)]
pub struct Compile {
    /// Build in what a snapshot is read through, if the component is of a kind that can be snapshotted.
    instrument: bool,
}

#[derive(Serialize, Deserialize)]
pub enum Compiled {
    /// The code beside this is the component's as it is.
    Plain,
    /// It is that of the instrumented component, whose bytes have this digest.
    Instrumented(Digest),
    Failed(String),
}

impl Job for Compile {
    const NAME: &'static str = "compile";
    type Answer = Compiled;

    fn work(self, wasm: &[u8]) -> (Compiled, Vec<u8>) {
        let instrumented = if self.instrument { instrument(wasm) } else { None };
        let code = match &instrumented {
            Some((_, wasm)) => precompile(wasm),
            None => precompile(wasm),
        };
        match (code, instrumented) {
            (Ok(code), Some((_, wasm))) => (Compiled::Instrumented(digest(&wasm)), code),
            (Ok(code), None) => (Compiled::Plain, code),
            (Err(error), _) => (Compiled::Failed(clip(format!("{error:#}"))), Vec::new()),
        }
    }
}

/// `None` for components that cannot be snapshotted.
fn instrument(wasm: &[u8]) -> Option<(ComponentContext<'_>, Vec<u8>)> {
    Wizer::new().instrument_component(wasm).ok()
}

/// Nothing runs in this engine, and so it reserves no memory for instances.
fn precompile(wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    Engine::new(&code_settings())?.precompile_component(wasm)
}

/// What decides how code looks. Engines that agree in it can load each other's code.
pub(crate) fn code_settings() -> Config {
    let mut settings = Config::new();
    settings
        // Component-model async is not used, and switching it off makes calls three times cheaper.
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        // Results must not depend on the processor that a plugin happens to run on.
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false);
    settings
}

/// What a child made of a component, and what it takes to read a snapshot out of an instance of it.
pub(crate) struct Code<'a> {
    pub bytes: Bytes,
    pub context: Option<ComponentContext<'a>>,
}

/// `step` says in an error what was being done.
pub(crate) async fn plain(
    workers: &Workers,
    wasm: &Bytes,
    step: &'static str,
) -> Result<Code<'static>, ActivationError> {
    let (_, bytes) = run(workers, wasm, Compile { instrument: false }, step).await?;
    Ok(Code { bytes, context: None })
}

pub(crate) async fn instrumented<'a>(workers: &Workers, wasm: &'a Bytes) -> Result<Code<'a>, ActivationError> {
    let (compiled, bytes) = run(workers, wasm, Compile { instrument: true }, COMPILING).await?;
    let Compiled::Instrumented(expected) = compiled else { return Ok(Code { bytes, context: None }) };
    // The child survived this, and it goes the same way every time.
    match instrument(wasm) {
        Some((context, wasm)) if digest(&wasm) == expected => Ok(Code { bytes, context: Some(context) }),
        _ => Err(ActivationError::Snapshot("instrumenting it twice gave two different components".into())),
    }
}

pub(crate) const COMPILING: &str = "compiling it";
pub(crate) const COMPILING_SNAPSHOT: &str = "compiling its snapshot";

async fn run(
    workers: &Workers,
    wasm: &Bytes,
    job: Compile,
    step: &'static str,
) -> Result<(Compiled, Bytes), ActivationError> {
    match workers.run(job, wasm).await {
        Ok((Compiled::Failed(reason), _)) => Err(ActivationError::Compile(reason)),
        Ok(answer) => Ok(answer),
        Err(error) => Err(ActivationError::Worker { step, error }),
    }
}
