//! Loads and runs the graph of a seed, and compares the run with what it was charged.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bulkhead::config::CallLimits;
use bulkhead::runtime::{GraphError, InputShapes, LoadError, Model, onnx};
use bulkhead::tenant::Budget;
use rustix::time::{ClockId, clock_gettime};

use super::builder::{self, Builder, F32, Value};
use super::bytes::Bytes;
use super::generate;

/// A hundredth of the default limits of a call, with more memory, because a run needs some for any graph.
fn limits() -> CallLimits {
    CallLimits { fuel: 100_000_000, memory: 16 << 20, time: Duration::from_millis(100), log: 0 }
}

/// Most time past the deadline, for a run that has a core of its own.
const OVERRUN: Duration = Duration::from_millis(50);

/// CPU time of a run for a unit of fuel, in multiples of a matrix product: the host's own tests allow ten, and a machine
/// that runs other programs has slower caches.
const DEAREST: f64 = 30.0;

/// CPU time of a run beside its fuel.
const TIME_ALWAYS: Duration = Duration::from_millis(10);

/// Memory of a run beside its inputs and what it is charged: the state of the plan, and texts of errors.
const MEMORY_ALWAYS: u64 = 1 << 20;

/// Runs that a failed check repeats, because other programs can only add to the time.
const ATTEMPTS: usize = 3;

/// The end of a graph of a seed.
#[derive(Debug)]
pub struct Outcome {
    pub load: Load,
    /// The time of loading, which the host leaves to a child process with limits of its own.
    pub loading: Duration,
    pub ran: Option<Ran>,
}

#[derive(Debug, PartialEq)]
pub enum Load {
    Loaded,
    /// The loader panicked, which the host reports as an error of the file.
    Panicked,
    Refused(String),
}

/// The measures of a run.
#[derive(Debug)]
pub struct Ran {
    pub end: Report,
    /// Time past the deadline, times the share of a core that the run had.
    pub overrun: Duration,
    /// CPU time beyond [`TIME_ALWAYS`] for a unit of the fuel, in multiples of a matrix product.
    pub dearness: f64,
    /// Allocated bytes beyond the inputs and what was charged.
    pub uncharged: u64,
    /// The promise that the run broke.
    pub broken: Option<String>,
}

/// The end of a run.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Report {
    Answered,
    LimitReached,
    InputRefused,
    OperatorFailed,
    OperatorPanicked,
}

/// Loads the graph of a seed and runs it. `loaded` is called between the two.
pub fn check(seed: u64, loaded: impl FnOnce()) -> Outcome {
    check_file(&generate::graph(&mut Bytes::of_seed(seed)), seed, loaded)
}

/// Loads this file and runs it with the inputs of a seed.
pub fn check_file(file: &[u8], seed: u64, loaded: impl FnOnce()) -> Outcome {
    let began = Instant::now();
    let model = onnx().load(file, &InputShapes::new());
    let loading = began.elapsed();
    let model = match model {
        Ok(model) => model,
        Err(LoadError::Panicked) => return Outcome { load: Load::Panicked, loading, ran: None },
        Err(error) => return Outcome { load: Load::Refused(error.to_string()), loading, ran: None },
    };
    loaded();
    let seed_of_inputs = !seed;
    let mut ran = run(&*model, seed_of_inputs);
    for _ in 1..ATTEMPTS {
        if ran.broken.is_none() {
            break;
        }
        ran = run(&*model, seed_of_inputs);
    }
    Outcome { load: Load::Loaded, loading, ran: Some(ran) }
}

fn run(model: &dyn Model, seed: u64) -> Ran {
    let unit = unit();
    let inputs = generate::inputs(model.signature(), &mut Bytes::of_seed(seed));
    let shapes: Vec<Vec<u64>> = inputs.iter().map(|(_, tensor)| tensor.shape().to_vec()).collect();
    // Kept beyond the run, because freeing what the test made is not part of it.
    let _kept = inputs.clone();
    let given: u64 = inputs.iter().map(|(_, tensor)| tensor.data().len() as u64).sum();
    let limits = limits();
    let mut result = None;
    let (began, cpu_began) = (Instant::now(), cpu_time());
    let mut budget = Budget::new(&limits);
    let used = allocation_counter::measure(|| result = Some(model.run(inputs, &mut budget)));
    let (cpu, took) = (cpu_time() - cpu_began, began.elapsed());
    let end = match result {
        Some(Ok(_)) => Report::Answered,
        Some(Err(GraphError::Exceeded(_))) => Report::LimitReached,
        Some(Err(GraphError::Input(_) | GraphError::Value(_))) => Report::InputRefused,
        Some(Err(GraphError::Failed(text))) if text.contains("panicked") => Report::OperatorPanicked,
        Some(Err(GraphError::Failed(_) | GraphError::Output { .. })) | None => Report::OperatorFailed,
    };
    let share = cpu.as_secs_f64() / took.as_secs_f64().max(1e-9);
    let overrun = took.saturating_sub(limits.time).mul_f64(share.min(1.0));
    let usage = budget.usage();
    let dear = cpu.saturating_sub(TIME_ALWAYS).as_secs_f64();
    let dearness = if dear > 0.0 { dear / (usage.fuel.max(1) as f64 * unit) } else { 0.0 };
    let uncharged = used.bytes_max.saturating_sub(2 * given + usage.peak_memory);
    let memory_bound = 2 * given + usage.peak_memory + MEMORY_ALWAYS;
    let broken = if overrun > OVERRUN {
        Some(format!("it ran {overrun:.1?} past its deadline"))
    } else if used.bytes_max > memory_bound {
        Some(format!("it allocated {} bytes, and {memory_bound} are the most", used.bytes_max))
    } else if dearness > DEAREST {
        Some(format!("it took {cpu:.1?} for {} units of fuel, {dearness:.0} times a matrix product", usage.fuel))
    } else {
        None
    };
    let broken = broken.map(|fault| format!("{fault}; inputs {shapes:?}, {end:?}"));
    Ran { end, overrun, dearness, uncharged, broken }
}

/// CPU seconds for a unit of fuel of a matrix product.
fn unit() -> f64 {
    static UNIT: OnceLock<f64> = OnceLock::new();
    *UNIT.get_or_init(|| {
        let mut bytes = Bytes::of_seed(0);
        let mut builder = Builder::new(&mut bytes);
        let x = Value { name: "x".into(), element: F32, shape: vec![512, 512] };
        let weight = builder.weight(&x.shape);
        let y = builder.emit("MatMul", &["x", &weight], vec![], F32, &x.shape);
        let file = builder::file(builder.finish(&[x], &[y]));
        let model = onnx().load(&file, &InputShapes::new()).expect("a matrix product can be loaded");
        let limits = CallLimits { fuel: u64::MAX, memory: 1 << 30, time: Duration::from_secs(3600), log: 0 };
        let once = || {
            let inputs = generate::inputs(model.signature(), &mut Bytes::of_seed(0));
            let mut budget = Budget::new(&limits);
            let began = cpu_time();
            model.run(inputs, &mut budget).expect("a matrix product can be run");
            (cpu_time() - began).as_secs_f64() / budget.usage().fuel as f64
        };
        (0..4).map(|_| once()).fold(f64::MAX, f64::min)
    })
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
