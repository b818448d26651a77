//! Tests that compare the charged fuel with CPU time, for every operator that has a cost, and tests of graphs that an
//! attacker could send.

use std::time::Duration;

use super::cases::{self, Case, scan};
use crate::config::CallLimits;
use crate::numbers::to_usize;
use crate::runtime::tract::testing::{BOOL, F32, I64};
use crate::runtime::tract::{Graph, testing as onnx};
use crate::runtime::{GraphError, Model};
use crate::tenant::{Budget, Limit};
use crate::tensor::{Datatype, NamedTensors, Tensor};

/// The most CPU time for a unit of fuel that an operator may take, in multiples of that of a matrix product.
const DEAREST: f64 = 10.0;

/// Bytes of a run that no tensor takes: the state of its plan.
const MEMORY_ALWAYS: u64 = 64 << 10;

fn budget() -> Budget {
    Budget::new(&CallLimits { fuel: u64::MAX, memory: 8 << 30, time: Duration::from_secs(3600), log: 0 })
}

/// Tensors of small positive numbers in the shapes of the graph; -1 becomes `varying`.
fn inputs(graph: &Graph, varying: u64) -> NamedTensors {
    let of = |spec: &crate::tensor::TensorSpec| {
        let shape: Vec<u64> = spec.shape.iter().map(|size| u64::try_from(*size).unwrap_or(varying)).collect();
        let elements = to_usize(shape.iter().product());
        let data: Vec<u8> = match spec.datatype {
            Datatype::Fp32 => (0..elements).flat_map(|at| (0.5 + (at % 97) as f32 / 100.0).to_le_bytes()).collect(),
            Datatype::Fp16 => {
                (0..elements).flat_map(|at| half::f16::from_f32(0.5 + (at % 97) as f32 / 100.0).to_le_bytes()).collect()
            }
            Datatype::Int64 => (0..7i64).cycle().take(elements).flat_map(i64::to_le_bytes).collect(),
            Datatype::Int32 => (1..8i32).cycle().take(elements).flat_map(i32::to_le_bytes).collect(),
            Datatype::Fp64 => (0..elements).flat_map(|at| (0.5 + (at % 97) as f64 / 100.0).to_le_bytes()).collect(),
            _ => [0, 1].into_iter().cycle().take(elements).collect(),
        };
        (spec.name.clone(), Tensor::new(spec.datatype, shape, data.into()).unwrap())
    };
    graph.signature().inputs.iter().map(of).collect()
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// CPU seconds for a billion units of fuel: the lowest of some runs, because other programs can only add to the time.
fn seconds_per_billion(graph: &Graph) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..4 {
        let inputs = inputs(graph, 8);
        let mut budget = budget();
        let began = cpu_time();
        graph.run(inputs, &mut budget).unwrap();
        let took = cpu_time() - began;
        best = best.min(took.as_secs_f64() / (budget.usage().fuel as f64 / 1e9));
    }
    best
}

#[test]
fn no_operator_takes_more_cpu_time_for_its_fuel_than_ten_times_a_matrix_product() {
    let product = Case::of(
        "MatMul",
        "MatMul",
        (F32, &[512, 512]),
        (F32, &[512, 512]),
        vec![onnx::floats("w", &[512, 512], 0.5)],
        vec![],
    );
    let unit = seconds_per_billion(&product.load().unwrap());
    let mut dear = Vec::new();
    for case in &cases::all() {
        let graph = match case.load() {
            Ok(graph) => graph,
            Err(error) => {
                dear.push(format!("{}: {error}", case.name));
                continue;
            }
        };
        let ratio = seconds_per_billion(&graph) / unit;
        println!("{ratio:8.2} {}", case.name);
        if ratio > DEAREST {
            dear.push(format!("{} {ratio:.1}", case.name));
        }
    }
    assert!(dear.is_empty(), "CPU time for a unit of fuel, in matrix products: {dear:?}");
}

#[test]
fn no_operator_allocates_more_memory_than_it_is_charged() {
    let mut greedy = Vec::new();
    for case in &cases::all() {
        let Ok(graph) = case.load() else { continue };
        let run = || {
            let inputs = inputs(&graph, 8);
            // Inputs that are freed during the run would lower the count.
            let _kept = inputs.clone();
            let mut budget = budget();
            let allocated = allocation_counter::measure(|| drop(graph.run(inputs, &mut budget).unwrap())).bytes_max;
            (allocated, budget.usage().peak_memory)
        };
        // The first run allocates what its thread keeps.
        run();
        let (allocated, charged) = run();
        println!("{allocated:10} of {charged:10} {}", case.name);
        if allocated > charged + MEMORY_ALWAYS {
            greedy.push(format!("{}: {allocated} of {charged}", case.name));
        }
    }
    assert!(greedy.is_empty(), "bytes that were allocated, and charged: {greedy:#?}");
}

#[test]
fn an_empty_tensor_costs_its_other_dimensions() {
    let x: (i32, &[i64]) = (F32, &[-1, -1, 1]);
    let y: (i32, &[i64]) = (F32, &[1, -1, -1]);
    let case = Case::of("Transpose", "Transpose", x, y, vec![], vec![onnx::ints("perm", &[2, 1, 0])]);
    let graph = case.load().unwrap();
    let vast =
        |size: u64| vec![("x".into(), Tensor::new(Datatype::Fp32, vec![size, 0, 1], Vec::new().into()).unwrap())];
    let limits = CallLimits { fuel: 1_000_000_000, memory: 256 << 20, time: Duration::from_secs(3600), log: 0 };
    let error = graph.run(vast(1 << 61), &mut Budget::new(&limits)).unwrap_err().to_string();
    assert!(error.contains("dimensions other than zero span"), "{error}");
    let mut budget = Budget::new(&CallLimits { fuel: 1 << 20, ..limits });
    assert!(matches!(graph.run(vast(1 << 24), &mut budget), Err(GraphError::Exceeded(e)) if e.limit == Limit::Fuel));
}

#[test]
fn bodies_are_counted() {
    let dear = scan(2000, 256).load().unwrap();
    let mut budget = budget();
    drop(dear.charge(inputs(&dear, 1), &mut budget).unwrap());
    assert!(budget.usage().fuel > 2000 * 256 * 256 * 256, "{:?}", budget.usage());
    assert!(budget.usage().peak_memory > 2000 * 256 * 256 * 4, "{:?}", budget.usage());
}

/// The branches reduce an empty input to a large tensor.
#[test]
fn branches_are_counted() {
    let then = onnx::graph(
        vec![onnx::node("ReduceMax", &["x"], &["t"], vec![onnx::ints("axes", &[0]), onnx::int("keepdims", 0)])],
        vec![],
        vec![onnx::value("t", F32, &[-1])],
        vec![],
    );
    let otherwise = onnx::graph(
        vec![onnx::node("ReduceMin", &["x"], &["e"], vec![onnx::ints("axes", &[0]), onnx::int("keepdims", 0)])],
        vec![],
        vec![onnx::value("e", F32, &[-1])],
        vec![],
    );
    let attributes = vec![onnx::body("then_branch", then), onnx::body("else_branch", otherwise)];
    let case = Case {
        name: "If",
        nodes: vec![onnx::node("If", &["c"], &["y"], attributes)],
        inputs: vec![onnx::value("c", BOOL, &[]), onnx::value("x", F32, &[-1, -1])],
        outputs: vec![onnx::value("y", F32, &[-1])],
        weights: vec![],
        version: 13,
    };
    let graph = case.load().unwrap();
    let condition = Tensor::new(Datatype::Bool, vec![], vec![1].into()).unwrap();
    let vast = Tensor::new(Datatype::Fp32, vec![0, 1 << 30], Vec::new().into()).unwrap();
    let mut budget =
        Budget::new(&CallLimits { fuel: u64::MAX, memory: 1 << 40, time: Duration::from_secs(60), log: 0 });
    drop(graph.charge(vec![("c".into(), condition), ("x".into(), vast)], &mut budget).unwrap());
    assert!(budget.usage().peak_memory >= 4 << 30, "{:?}", budget.usage());
    let small = Tensor::new(
        Datatype::Fp32,
        vec![2, 3],
        [1f32, 5., 3., 4., 2., 6.].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into(),
    )
    .unwrap();
    for (condition, wanted) in [(1, [4f32, 5., 6.]), (0, [1., 2., 3.])] {
        let condition = Tensor::new(Datatype::Bool, vec![], vec![condition].into()).unwrap();
        let outputs = graph.run(vec![("c".into(), condition), ("x".into(), small.clone())], &mut budget).unwrap();
        let wanted: Vec<u8> = wanted.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(outputs[0].1.data()[..], wanted);
    }
}

#[test]
fn a_body_ends_at_the_deadline() {
    let graph = scan(4000, 128).load().unwrap();
    let time = Duration::from_millis(50);
    let mut budget = Budget::new(&CallLimits { fuel: u64::MAX, memory: 8 << 30, time, log: 0 });
    let began = std::time::Instant::now();
    let result = graph.run(inputs(&graph, 1), &mut budget);
    assert!(matches!(result, Err(GraphError::Exceeded(exceeded)) if exceeded.limit == Limit::Time));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn an_operator_without_a_cost_is_refused_by_its_name() {
    let case = Case::of("NonZero", "NonZero", (F32, &[64]), (I64, &[1, -1]), vec![], vec![]);
    let error = case.load().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("NonZero"), "{error}");
}

/// The elements between the axes are a thousand times those of input and output.
#[test]
fn what_an_operator_makes_between_its_axes_is_counted() {
    let of_scales = |operator: &'static str, weights: Vec<tract_onnx::pb::TensorProto>, names: &[&str]| Case {
        name: operator,
        nodes: vec![onnx::node(operator, names, &["y"], Vec::new())],
        inputs: vec![onnx::value("x", F32, &[1, 1, 1000, 1000])],
        outputs: vec![onnx::value("y", F32, &[-1, -1, -1, -1])],
        weights,
        version: 17,
    };
    let float_data = vec![1.0, 1.0, 1000.0, 0.001];
    let scales = tract_onnx::pb::TensorProto { float_data, ..onnx::floats("scales", &[4], 1.0) };
    let cases = [
        of_scales("Resize", vec![scales], &["x", "", "scales"]),
        of_scales("Tile", vec![onnx::whole("repeats", &[1, 1, 1000, 0])], &["x", "repeats"]),
    ];
    for case in cases {
        let graph = case.load().unwrap();
        let cost = graph.cost_of(&[&[1, 1, 1000, 1000]]).unwrap();
        assert!(cost.memory > 4_000_000_000 && cost.fuel > 1_000_000_000, "{}: {cost:?}", case.name);
    }
}

/// Each of the products of a batch has packed operands.
#[test]
fn the_matrices_of_a_batch_are_counted() {
    let x: (i32, &[i64]) = (F32, &[-1, 64, 64]);
    let transposed = onnx::node("Transpose", &["x"], &["t"], vec![onnx::ints("perm", &[0, 2, 1])]);
    let product = onnx::node("MatMul", &["x", "t"], &["y"], Vec::new());
    let graph =
        Case { nodes: vec![transposed, product], ..Case::of("MatMul", "MatMul", x, x, vec![], vec![]) }.load().unwrap();
    let [one, many] = [1, 1000].map(|batch| graph.cost_of(&[&[batch, 64, 64]]).unwrap().memory);
    assert!(many >= 1000 * 3 * 64 * 64 * 4 && many > 900 * one, "{one} for one, {many} for a thousand");
}

#[test]
fn an_input_that_nothing_reads_costs_its_copy() {
    let case = Case {
        name: "Relu",
        nodes: vec![onnx::node("Relu", &["x"], &["y"], Vec::new())],
        inputs: vec![onnx::value("x", F32, &[1]), onnx::value("unread", F32, &[-1])],
        outputs: vec![onnx::value("y", F32, &[1])],
        weights: Vec::new(),
        version: 17,
    };
    let graph = case.load().unwrap();
    let [none, some] = [0, 1 << 20].map(|size| graph.cost_of(&[&[1], &[size]]).unwrap());
    assert!(some.fuel >= none.fuel + (1 << 20) && some.memory >= none.memory + (4 << 20), "{none:?} {some:?}");
}
