//! Tests that compare the charged fuel with CPU time, for every function that a plugin can import.

mod cases;
mod guest;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use self::cases::Case;
use crate::config::CallLimits;
use crate::runtime::Model;
use crate::runtime::echo::Echo;
use crate::sandbox::host_state::{self, HostState};
use crate::sandbox::shared::Shared;
use crate::sandbox::{CallError, ResponseSink, SinkError, compile, cost, error::Bounds, imports};
use crate::tenant::{Budget, Capability, Exceeded, Grants, Limit};
use crate::tensor::{Datatype, NamedTensors, Signature, TensorSpec};

/// The most CPU time for a unit of fuel that a function may take, in multiples of that of a plain loop. The host's part of it
/// takes several times as long without optimisation.
fn dearest() -> f64 {
    if env!("OPT_LEVEL") == "0" { 100.0 } else { 10.0 }
}

/// Takes every response.
struct Endless;

#[async_trait]
impl ResponseSink for Endless {
    async fn take(&mut self, _: NamedTensors, _: &mut Budget) -> Result<bool, SinkError> {
        Ok(true)
    }
}

fn shared() -> Arc<Shared> {
    let specs = ["x", "y"].map(|name| TensorSpec { name: name.into(), datatype: Datatype::Uint8, shape: vec![-1, 3] });
    let signature = Signature { inputs: specs.to_vec(), outputs: specs.to_vec() };
    let echo: Arc<dyn Model> = Arc::new(Echo::new(signature));
    Arc::new(Shared {
        model: "model".into(),
        stage: "stage".into(),
        assets: [("a".into(), vec![7; crate::numbers::to_usize(guest::LARGE)].into())].into(),
        graphs: [("g".into(), echo)].into(),
        dev: false,
    })
}

fn limits(fuel: u64) -> CallLimits {
    CallLimits { fuel, memory: 1 << 30, time: Duration::from_secs(3600), log: 1 << 40 }
}

struct Measured {
    cpu: Duration,
    result: Result<(), CallError>,
    fuel: u64,
}

/// A component that repeats a call.
struct Repeater(Engine, InstancePre<HostState>);

impl Repeater {
    fn of(engine: &Engine, case: &Case) -> Repeater {
        let component = Component::new(engine, guest::component(case)).unwrap();
        let mut linker = Linker::new(engine);
        let grants = Grants::from_iter(Capability::ALL);
        imports::wasi::link(&mut linker, &grants).unwrap();
        imports::link(&mut linker, &grants).unwrap();
        Repeater(engine.clone(), linker.instantiate_pre(&component).unwrap())
    }

    /// Calls the function of the case `times` times, in an instance with `fuel`.
    fn call(&self, times: u32, fuel: u64) -> Measured {
        let mut budget = Budget::new(&limits(fuel));
        let mut home = None;
        let guard = host_state::enter(&mut home, &self.0, &shared(), &"request".into(), &mut budget);
        guard.store.data_mut().sink = Some(Box::new(Endless));
        let bounds = Bounds { fuel, stack: 0 };
        let (cpu, result) = runtime().block_on(async {
            let instance = self.1.instantiate_async(&mut *guard.store).await.unwrap();
            let run = instance.get_typed_func::<(u32,), ()>(&mut *guard.store, "run").unwrap();
            let began = cpu_time();
            let result = run.call_async(&mut *guard.store, (times,)).await;
            (cpu_time() - began, result.map_err(|error| CallError::from_wasmtime(error, &bounds, guard.store.data())))
        });
        drop(guard);
        Measured { cpu, result, fuel: budget.usage().fuel }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// CPU seconds for a billion units of fuel: the lowest of some runs, because other programs can only add to the time. Each
/// run must cost the same fuel.
fn seconds_per_billion(engine: &Engine, case: &Case) -> f64 {
    let repeater = Repeater::of(engine, case);
    let (mut best, mut cost) = (f64::MAX, None);
    for _ in 0..4 {
        let Measured { cpu, result, fuel } = repeater.call(case.times, 1 << 50);
        result.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(*cost.get_or_insert(fuel), fuel, "{} costs another time", case.name);
        best = best.min(cpu.as_secs_f64() / (fuel as f64 / 1e9));
    }
    best
}

fn engine() -> Engine {
    Engine::new(&compile::code_settings()).unwrap()
}

#[test]
fn no_import_takes_many_times_the_cpu_time_of_a_plain_loop_for_its_fuel() {
    // Lines are formatted as in a host, so that their cost is real.
    let lines = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    let _lines = tracing::subscriber::set_default(lines);
    let engine = engine();
    let unit = seconds_per_billion(&engine, &cases::LOOP);
    println!("{unit:8.3} CPU s for 1 G of fuel in a plain loop");
    let mut dear = Vec::new();
    for case in cases::ALL {
        let ratio = seconds_per_billion(&engine, case) / unit;
        println!("{ratio:8.2} {}", case.name);
        if ratio > dearest() {
            dear.push(format!("{} {ratio:.1}", case.name));
        }
    }
    assert!(dear.is_empty(), "CPU time for a unit of fuel, in multiples of a plain loop: {dear:?}");
}

/// Each iteration of a case costs what the table says, and beyond that only the guest's own instructions, which are few.
#[test]
fn a_call_costs_what_the_table_says() {
    const INSTRUCTIONS: u64 = 200;
    let (engine, large) = (engine(), guest::LARGE);
    let rows = [
        ("tensor.create of 1 B, drop", cost::TENSOR_CREATE.of(1) + cost::DROP.of(0)),
        ("tensor.create of 4 MiB, drop", cost::TENSOR_CREATE.of(large) + cost::DROP.of(0)),
        ("tensor.describe", cost::TENSOR_DESCRIBE.of(0)),
        ("tensor.read of 1 B", cost::TENSOR_READ.of(1)),
        ("tensor.read of 4 MiB", cost::TENSOR_READ.of(large)),
        ("tensor.reshape, drop", cost::TENSOR_RESHAPE.of(0) + cost::DROP.of(0)),
        ("tensor-builder.create of 16 MiB, drop", cost::BUILDER_CREATE.of(16 << 20) + cost::DROP.of(0)),
        ("tensor-builder.append of 1 B", cost::BUILDER_APPEND.of(0)),
        // The bundle's only graph, and its only asset, have names of one letter.
        ("graph.open, drop", cost::GRAPH_OPEN.of(1 + 3) + cost::DROP.of(0)),
        ("graph.inputs", cost::GRAPH_SIGNATURE.of(2)),
        ("assets.read of 4 MiB", cost::ASSET_READ.of(1 + large)),
        ("assets.read refused", cost::ASSET_READ.of(1 + 3)),
        ("logging.log of 1 B", cost::LOG.of(1)),
        ("output-stream.check-write", cost::WASI.of(0)),
        ("pollable.ready", cost::WASI.of(0)),
        ("poll of 10000 times the same", cost::POLL.of(10_000)),
        ("random.get-insecure-random-bytes of 1 B", cost::RANDOM.of(1)),
        ("random.get-insecure-random-u64", cost::RANDOM.of(0)),
        ("random.insecure-seed", cost::WASI.of(0)),
        ("random.get-random-bytes of 4 MiB", cost::RANDOM.of(large)),
        ("random.get-random-u64", cost::RANDOM.of(0)),
        ("wall-clock.now", cost::WASI.of(0)),
        ("monotonic-clock.now", cost::WASI.of(0)),
    ];
    for (name, told) in rows {
        let case = cases::ALL.iter().find(|case| case.name == name).unwrap();
        let repeater = Repeater::of(&engine, case);
        let fuel = |times| repeater.call(times, 1 << 50).fuel;
        let charged = fuel(3) - fuel(2);
        assert!((told..told + INSTRUCTIONS).contains(&charged), "{name}: {charged}, and the table says {told}");
    }
}

/// The error is that of a loop that runs out of fuel, and all fuel is used.
#[test]
fn fuel_that_runs_out_in_an_import_ends_the_call_as_in_a_loop() {
    const FUEL: u64 = 100_000;
    let engine = engine();
    for case in cases::ALL.iter().chain([&cases::LOOP]) {
        let Measured { result, fuel, .. } = Repeater::of(&engine, case).call(u32::MAX, FUEL);
        let whole = Exceeded::whole(Limit::Fuel, FUEL);
        assert!(matches!(result, Err(CallError::Exceeded(e)) if e == whole), "{}: {result:?}", case.name);
        assert_eq!(fuel, FUEL, "{}", case.name);
    }
}
