//! The wasmtime engine, which holds the instances of components, and the clock that divides their time into slices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config as EngineConfig, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::teardown::{self, TeardownSlots};
use super::{EngineError, compile};
use crate::config::{CallLimits, Config};
use crate::numbers::to_usize;
use crate::worker::Workers;

/// Time that a guest may hold a thread before others get a turn. A deadline is noticed at most this much too late.
const TIME_SLICE: Duration = Duration::from_millis(5);

/// Bounds on the parts of one component. Real components stay far below them: a Rust guest has three core instances, one
/// memory and two tables.
const CORE_INSTANCES: u32 = 16;
const MEMORIES: u32 = 2;
const TABLES: u32 = 8;
const TABLE_ELEMENTS: usize = 100_000;

/// Bytes of memory that stay mapped in a slot between two calls: a fresh instance then costs a memset instead of page
/// faults.
const MEMORY_KEEP_RESIDENT: usize = 4 << 20;
const TABLE_KEEP_RESIDENT: usize = 1 << 20;
const STACK_KEEP_RESIDENT: usize = 64 << 10;

/// Bytes that the stack of each guest has for host code: an import runs on the stack of its guest.
const HOST_STACK: u64 = 512 << 10;

/// Instances that one call may have at once: a generator, and a stage behind it. A stream that waits for its reader has its
/// generator alone.
const INSTANCES_OF_A_CALL: u32 = 2;

/// Slots for plugins that are being activated, in addition to those for calls.
pub const ACTIVATION_SLOTS: u32 = 4;

/// Compiles plugins and runs them. There is one for the whole host.
pub struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) workers: Workers,
    pub(crate) remains: TeardownSlots,
    ticker: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// The part of the configuration that the sandbox needs.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub init: CallLimits,
    pub stack: u64,
    pub component_bytes: u64,
    pub dev: bool,
}

impl Sandbox {
    /// `workers` compile the components, and their cache keeps the results.
    pub fn new(config: &Config, workers: Workers) -> Result<Sandbox, EngineError> {
        let engine = Engine::new(&settings(config)).map_err(EngineError::new)?;
        let stop = Arc::new(AtomicBool::new(false));
        let ticker = start_ticker(engine.clone(), stop.clone())?;
        let (limits, remains) = (Limits::of(config), TeardownSlots::new());
        Ok(Sandbox { engine, limits, workers, remains, ticker: Some(ticker), stop })
    }
}

impl Limits {
    pub(crate) fn of(config: &Config) -> Limits {
        let (stack, component_bytes) = (config.compute.stack, config.compute.component_bytes);
        Limits { init: config.init.clone(), stack, component_bytes, dev: config.dev }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

/// Advances the epoch once per time slice, so that guests yield and deadlines are noticed.
fn start_ticker(engine: Engine, stop: Arc<AtomicBool>) -> Result<JoinHandle<()>, EngineError> {
    let tick = move || {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(TIME_SLICE);
            engine.increment_epoch();
        }
    };
    std::thread::Builder::new().name("epoch".into()).spawn(tick).map_err(|error| EngineError::new(error.into()))
}

pub(crate) fn settings(config: &Config) -> EngineConfig {
    let mut engine = compile::code_settings();
    engine
        .max_wasm_stack(to_usize(config.compute.stack))
        .async_stack_size(to_usize(config.compute.stack + HOST_STACK))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    engine
}

/// An instance pool with slots for as many calls as may be under way and as many streams as may be open, so that a call with
/// a permit always finds a free slot. A slot that was never used costs address space only.
fn pool(config: &Config) -> PoolingAllocationConfig {
    let compute = &config.compute;
    let besides = ACTIVATION_SLOTS + teardown::SLOTS;
    // `compute.concurrency` is at most 1024, there are as many newcomers, and `compute.streams` is at most 4096, so that no
    // product below overflows.
    let count = |calls: usize| u32::try_from(calls).unwrap_or(u32::MAX);
    let warm = count(compute.concurrency) * INSTANCES_OF_A_CALL + besides;
    let calls =
        count(compute.concurrency + compute.newcomers()) * INSTANCES_OF_A_CALL + count(compute.streams) + besides;
    let memory = to_usize(config.call.memory.max(config.init.memory));
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(calls)
        .total_core_instances(calls * CORE_INSTANCES)
        .total_memories(calls * MEMORIES)
        .total_tables(calls * TABLES)
        .total_stacks(calls)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory)
        .max_unused_warm_slots(warm)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT)
        // Without this, keeping more than 256 KiB resident makes dropping an instance slower instead of faster.
        .pagemap_scan(Enabled::Auto);
    pool
}
