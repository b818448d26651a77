//! Tests that compare the charged fuel with CPU time, for every operator that has a cost, and tests of graphs that an
//! attacker could send.

use std::time::Duration;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};

use crate::config::CallLimits;
use crate::runtime::tract::testing::{BOOL, F16, F32, I32, I64, U8};
use crate::runtime::tract::{Graph, testing as onnx};
use crate::runtime::{GraphError, LoadError};
use crate::tenant::{Budget, Limit};
use crate::tensor::{Datatype, NamedTensors, Tensor};

/// The most CPU time for a unit of fuel that an operator may take, in multiples of that of a matrix product.
const DEAREST: f64 = 10.0;

fn budget() -> Budget {
    Budget::new(&CallLimits { fuel: u64::MAX, memory: 8 << 30, time: Duration::from_secs(3600), log: 0 })
}

/// Tensors of small positive numbers in the shapes of the graph; -1 becomes `varying`.
fn inputs(graph: &Graph, varying: u64) -> NamedTensors {
    let of = |spec: &crate::tensor::TensorSpec| {
        let shape: Vec<u64> = spec.shape.iter().map(|size| u64::try_from(*size).unwrap_or(varying)).collect();
        let elements = shape.iter().product::<u64>() as usize;
        let data: Vec<u8> = match spec.datatype {
            Datatype::Fp32 => (0..elements).flat_map(|at| (0.5 + (at % 97) as f32 / 100.0).to_le_bytes()).collect(),
            Datatype::Fp16 => {
                (0..elements).flat_map(|at| half::f16::from_f32(0.5 + (at % 97) as f32 / 100.0).to_le_bytes()).collect()
            }
            Datatype::Int64 => (0..elements).flat_map(|at| (at as i64 % 7).to_le_bytes()).collect(),
            Datatype::Int32 => (0..elements).flat_map(|at| (1 + at as i32 % 7).to_le_bytes()).collect(),
            Datatype::Fp64 => (0..elements).flat_map(|at| (0.5 + (at % 97) as f64 / 100.0).to_le_bytes()).collect(),
            _ => (0..elements).map(|at| (at % 2) as u8).collect(),
        };
        (spec.name.clone(), Tensor::new(spec.datatype, shape, data.into()).unwrap())
    };
    graph.signature().inputs.iter().map(of).collect()
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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

/// A graph of one operator.
struct Case {
    name: &'static str,
    nodes: Vec<NodeProto>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
    weights: Vec<TensorProto>,
    version: i64,
}

impl Case {
    /// A case with input `x` and output `y`; the weights are further inputs.
    fn of(
        name: &'static str,
        operator: &str,
        x: (i32, &[i64]),
        y: (i32, &[i64]),
        weights: Vec<TensorProto>,
        attributes: Vec<AttributeProto>,
    ) -> Case {
        let names: Vec<&str> = ["x"].into_iter().chain(weights.iter().map(|weight| &*weight.name)).collect();
        let nodes = vec![onnx::node(operator, &names, &["y"], attributes)];
        let (inputs, outputs) = (vec![onnx::value("x", x.0, x.1)], vec![onnx::value("y", y.0, y.1)]);
        Case { name, nodes, inputs, outputs, weights, version: 17 }
    }

    fn same(operator: &'static str) -> Case {
        let shape: &[i64] = &[64, 4096];
        Case::of(operator, operator, (F32, shape), (F32, shape), Vec::new(), Vec::new())
    }

    /// A case with two inputs.
    fn two(operator: &'static str, element: i32, a: &[i64], b: &[i64]) -> Case {
        let output = if matches!(operator, "Equal" | "Less" | "And") { BOOL } else { element };
        let nodes = vec![onnx::node(operator, &["a", "b"], &["y"], Vec::new())];
        let inputs = vec![onnx::value("a", element, a), onnx::value("b", element, b)];
        Case {
            name: operator,
            nodes,
            inputs,
            outputs: vec![onnx::value("y", output, a)],
            weights: Vec::new(),
            version: 17,
        }
    }

    fn version(self, version: i64) -> Case {
        Case { version, ..self }
    }

    fn graph(&self) -> GraphProto {
        onnx::graph(self.nodes.clone(), self.inputs.clone(), self.outputs.clone(), self.weights.clone())
    }

    fn load(&self) -> Result<Graph, LoadError> {
        onnx::load(self.graph(), self.version)
    }
}

fn element_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "Abs",
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "Ceil",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "HardSigmoid",
        "LeakyRelu",
        "Log",
        "Neg",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
        "HardSwish",
        "Identity",
    ]
    .into_iter()
    .map(Case::same)
    .collect();
    for operator in ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mod"] {
        let element = if operator == "Mod" { I32 } else { F32 };
        cases.push(Case::two(operator, element, &[64, 4096], &[64, 4096]));
        cases.push(Case::two(operator, element, &[64, 64, 64], &[64, 1, 64]));
    }
    for operator in ["Equal", "Less"] {
        cases.push(Case::two(operator, F32, &[64, 4096], &[64, 1]));
    }
    cases.push(Case::two("Add", F16, &[64, 4096], &[64, 4096]));
    cases.push(Case::two("Mul", F16, &[64, 64, 64], &[64, 1, 64]));
    cases.push(Case::two("Add", I64, &[64, 4096], &[64, 4096]));
    for operator in ["Exp", "Tanh", "Sqrt", "Softmax", "Relu", "Sigmoid"] {
        cases.push(Case::of("of FP16", operator, (F16, &[64, 4096]), (F16, &[64, 4096]), vec![], vec![]));
    }
    cases.push(Case::of(
        "Cast of FP16",
        "Cast",
        (F16, &[64, 4096]),
        (F32, &[64, 4096]),
        vec![],
        vec![onnx::int("to", F32.into())],
    ));
    cases.push(Case::of("Gelu", "Gelu", (F32, &[64, 4096]), (F32, &[64, 4096]), vec![], vec![]).version(20));
    cases.push(Case::of("Clip", "Clip", (F32, &[64, 4096]), (F32, &[64, 4096]), vec![], vec![]));
    cases.push(Case::of(
        "Cast",
        "Cast",
        (F32, &[64, 4096]),
        (I64, &[64, 4096]),
        vec![],
        vec![onnx::int("to", I64.into())],
    ));
    cases
}

fn shape_cases() -> Vec<Case> {
    let x: (i32, &[i64]) = (F32, &[64, 64, 64]);
    let axis = |axis: i64| vec![onnx::int("axis", axis)];
    let keep = |axes: &[i64]| vec![onnx::ints("axes", axes), onnx::int("keepdims", 1)];
    let mut cases = vec![
        Case::of("Transpose", "Transpose", x, x, vec![], vec![onnx::ints("perm", &[2, 1, 0])]),
        Case::of("Softmax last", "Softmax", x, x, vec![], axis(-1)),
        Case::of("Softmax first", "Softmax", x, x, vec![], axis(0)),
        Case::of("LogSoftmax", "LogSoftmax", x, x, vec![], axis(1)),
        Case::of("Flatten", "Flatten", x, (F32, &[64, 4096]), vec![], vec![]),
        Case::of("Reshape", "Reshape", x, (F32, &[4096, 64]), vec![onnx::whole("to", &[4096, 64])], vec![]),
        Case::of("Tile", "Tile", x, (F32, &[64, 128, 64]), vec![onnx::whole("n", &[1, 2, 1])], vec![]),
        Case::of("Expand", "Expand", (F32, &[64, 1, 64]), x, vec![onnx::whole("to", &[64, 64, 64])], vec![]),
        Case::of("Pad", "Pad", x, (F32, &[64, 64, 66]), vec![onnx::whole("p", &[0, 0, 1, 0, 0, 1])], vec![]),
        Case::of("Gather", "Gather", x, (F32, &[64, 64, 64]), vec![onnx::whole("i", &[3; 64])], axis(2)),
        Case::of("TopK", "TopK", x, (F32, &[64, 64, 10]), vec![onnx::whole("k", &[10])], axis(-1)),
        Case::of("CumSum", "CumSum", x, x, vec![scalar("a", 0)], vec![]),
        Case::of("Trilu", "Trilu", x, x, vec![], vec![]),
        Case::of("Hardmax", "Hardmax", x, x, vec![], axis(0)),
        Case::of("LpNormalization", "LpNormalization", x, x, vec![], axis(0)),
        Case::of(
            "DepthToSpace",
            "DepthToSpace",
            (F32, &[1, 64, 64, 64]),
            (F32, &[1, 16, 128, 128]),
            vec![],
            vec![onnx::int("blocksize", 2)],
        ),
    ];
    // TopK has a second output.
    cases[10].nodes[0].output.push("indices".into());
    for operator in
        ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceL2", "ReduceProd", "ReduceLogSumExp", "ReduceSumSquare"]
    {
        for axes in [&[0][..], &[1], &[2], &[0, 2]] {
            let mut shape = [64, 64, 64];
            axes.iter().for_each(|axis| shape[*axis as usize] = 1);
            if operator == "ReduceSum" {
                cases.push(Case::of(operator, operator, x, (F32, &shape), vec![onnx::whole("axes", axes)], vec![]));
            } else {
                cases.push(Case::of(operator, operator, x, (F32, &shape), vec![], keep(axes)));
            }
        }
    }
    for operator in ["ArgMax", "ArgMin"] {
        cases.push(Case::of(operator, operator, x, (I64, &[1, 64, 64]), vec![], axis(0)));
        cases.push(Case::of(operator, operator, x, (I64, &[64, 64, 1]), vec![], axis(2)));
    }
    cases
}

fn image_cases() -> Vec<Case> {
    let x: (i32, &[i64]) = (F32, &[1, 16, 64, 64]);
    let kernel = |size: i64| vec![onnx::ints("kernel_shape", &[size, size])];
    let whole_kernel =
        |size: i64, pad: i64| vec![onnx::ints("kernel_shape", &[size, size]), onnx::ints("pads", &[pad; 4])];
    let group = |group: i64, pad: i64| vec![onnx::int("group", group), onnx::ints("pads", &[pad; 4])];
    let open: &[i64] = &[1, 16, -1, -1];
    let mut cases = vec![
        Case::of(
            "MatMul",
            "MatMul",
            (F32, &[256, 256]),
            (F32, &[256, 256]),
            vec![onnx::floats("w", &[256, 256], 0.5)],
            vec![],
        ),
        Case::of(
            "MatMul of rows",
            "MatMul",
            (F32, &[1, 1024]),
            (F32, &[1, 1024]),
            vec![onnx::floats("w", &[1024, 1024], 0.5)],
            vec![],
        ),
        Case::two("MatMul", F32, &[8, 128, 128], &[8, 128, 128]),
        Case::two("MatMul", I32, &[128, 128], &[128, 128]),
        Case::two("MatMul", F16, &[128, 128], &[128, 128]),
        Case::of("Conv", "Conv", x, (F32, &[1, 32, 62, 62]), vec![onnx::floats("w", &[32, 16, 3, 3], 0.1)], vec![]),
        Case::of("Conv 1x1", "Conv", x, (F32, &[1, 32, 64, 64]), vec![onnx::floats("w", &[32, 16, 1, 1], 0.1)], vec![]),
        Case::of(
            "Conv depthwise",
            "Conv",
            x,
            (F32, &[1, 16, 64, 64]),
            vec![onnx::floats("w", &[16, 1, 3, 3], 0.1)],
            group(16, 1),
        ),
        Case::of(
            "Conv of groups",
            "Conv",
            x,
            (F32, &[1, 16, 64, 64]),
            vec![onnx::floats("w", &[16, 4, 3, 3], 0.1)],
            group(4, 1),
        ),
        Case::of(
            "Conv 15x15 depthwise",
            "Conv",
            x,
            (F32, &[1, 16, 64, 64]),
            vec![onnx::floats("w", &[16, 1, 15, 15], 0.1)],
            group(16, 7),
        ),
        Case::of(
            "Conv open",
            "Conv",
            (F32, open),
            (F32, &[1, 8, -1, -1]),
            vec![onnx::floats("w", &[8, 16, 3, 3], 0.1)],
            vec![],
        ),
        Case::of(
            "ConvTranspose",
            "ConvTranspose",
            x,
            (F32, &[1, 8, 66, 66]),
            vec![onnx::floats("w", &[16, 8, 3, 3], 0.1)],
            vec![],
        ),
        Case::of(
            "ConvTranspose depthwise",
            "ConvTranspose",
            x,
            (F32, &[1, 16, 66, 66]),
            vec![onnx::floats("w", &[16, 1, 3, 3], 0.1)],
            group(16, 0),
        ),
        Case::of("AveragePool 33", "AveragePool", x, (F32, &[1, 16, 32, 32]), vec![], kernel(33)),
        Case::of("AveragePool 3", "AveragePool", x, (F32, &[1, 16, 64, 64]), vec![], whole_kernel(3, 1)),
        Case::of("MaxPool 33", "MaxPool", x, (F32, &[1, 16, 32, 32]), vec![], kernel(33)),
        Case::of("MaxPool 3", "MaxPool", x, (F32, &[1, 16, 64, 64]), vec![], whole_kernel(3, 1)),
        Case::of("GlobalAveragePool", "GlobalAveragePool", x, (F32, &[1, 16, 1, 1]), vec![], vec![]),
        Case::of("LRN 5", "LRN", (F32, &[1, 64, 64, 64]), (F32, &[1, 64, 64, 64]), vec![], vec![onnx::int("size", 5)]),
        Case::of(
            "LRN 2001",
            "LRN",
            (F32, &[1, 4000, 4, 4]),
            (F32, &[1, 4000, 4, 4]),
            vec![],
            vec![onnx::int("size", 2001)],
        ),
        Case::of(
            "InstanceNormalization",
            "InstanceNormalization",
            x,
            x,
            vec![onnx::floats("scale", &[16], 1.0), onnx::floats("bias", &[16], 0.0)],
            vec![],
        ),
    ];
    for mode in ["nearest", "linear", "cubic"] {
        let mut case =
            Case::of("Resize", "Resize", x, (F32, &[1, 16, 96, 96]), vec![], vec![onnx::string("mode", mode)]);
        case.nodes[0].input = vec!["x".into(), String::new(), "scales".into()];
        case.weights = vec![TensorProto { float_data: vec![1.0, 1.0, 1.5, 1.5], ..onnx::floats("scales", &[4], 0.0) }];
        cases.push(case);
    }
    for mode in ["bilinear", "nearest", "bicubic"] {
        let nodes = vec![onnx::node("GridSample", &["x", "grid"], &["y"], vec![onnx::string("mode", mode)])];
        let inputs = vec![onnx::value("x", F32, x.1), onnx::value("grid", F32, &[1, 64, 64, 2])];
        let outputs = vec![onnx::value("y", F32, x.1)];
        cases.push(Case { name: "GridSample", nodes, inputs, outputs, weights: vec![], version: 16 });
    }
    cases
}

fn index_cases() -> Vec<Case> {
    let two = |name: &'static str, operator: &str, x: &[i64], i: &[i64], y: &[i64], attributes| {
        let nodes = vec![onnx::node(operator, &["x", "i"], &["y"], attributes)];
        let inputs = vec![onnx::value("x", F32, x), onnx::value("i", I64, i)];
        Case { name, nodes, inputs, outputs: vec![onnx::value("y", F32, y)], weights: vec![], version: 16 }
    };
    let scatter = |name: &'static str, operator: &str, i: &[i64], attributes| {
        let nodes = vec![onnx::node(operator, &["x", "i", "u"], &["y"], attributes)];
        let updates: &[i64] = if operator == "ScatterND" { &[4096, 8] } else { i };
        let inputs = vec![onnx::value("x", F32, &[64, 4096]), onnx::value("i", I64, i), onnx::value("u", F32, updates)];
        let x: &[i64] = if operator == "ScatterND" { &[64, 8] } else { &[64, 4096] };
        let mut case =
            Case { name, nodes, inputs, outputs: vec![onnx::value("y", F32, x)], weights: vec![], version: 16 };
        case.inputs[0] = onnx::value("x", F32, x);
        case
    };
    vec![
        two("Gather of rows", "Gather", &[64, 64], &[4096], &[4096, 64], vec![onnx::int("axis", 0)]),
        two("Gather of elements", "Gather", &[8], &[65536], &[65536], vec![onnx::int("axis", 0)]),
        two("GatherElements", "GatherElements", &[64, 4096], &[64, 4096], &[64, 4096], vec![onnx::int("axis", 1)]),
        two("GatherND", "GatherND", &[64, 64], &[16384, 2], &[16384], vec![]),
        scatter("ScatterElements", "ScatterElements", &[64, 4096], vec![onnx::int("axis", 1)]),
        scatter("ScatterND", "ScatterND", &[4096, 1], vec![]),
    ]
}

fn sequence_cases() -> Vec<Case> {
    let recurrent = |operator: &'static str, gates: i64, steps: i64, size: i64| {
        let nodes = vec![onnx::node(operator, &["x", "w", "r"], &["y"], vec![onnx::int("hidden_size", size)])];
        let weights =
            vec![onnx::floats("w", &[1, gates * size, size], 0.01), onnx::floats("r", &[1, gates * size, size], 0.01)];
        Case {
            name: operator,
            nodes,
            inputs: vec![onnx::value("x", F32, &[steps, 1, size])],
            outputs: vec![onnx::value("y", F32, &[steps, 1, 1, size])],
            weights,
            version: 14,
        }
    };
    let transform = |name: &'static str, length: i64| {
        let shape: &[i64] = &[16, length, 1];
        Case::of(name, "DFT", (F32, shape), (F32, &[16, length, 2]), vec![], vec![onnx::int("axis", 1)])
    };
    vec![
        recurrent("LSTM", 4, 200, 64),
        recurrent("LSTM", 4, 20, 256),
        recurrent("GRU", 3, 200, 64),
        recurrent("RNN", 1, 200, 64),
        scan(2000, 4),
        scan(20, 128),
        transform("DFT 1024", 1024),
        transform("DFT of a prime", 1021),
        Case::two("And", BOOL, &[64, 4096], &[64, 4096]),
    ]
}

fn quantized() -> Case {
    let nodes = vec![onnx::node("DynamicQuantizeLinear", &["x"], &["y", "s", "z"], vec![])];
    let (inputs, outputs) = (vec![onnx::value("x", F32, &[64, 4096])], vec![onnx::value("y", U8, &[64, 4096])]);
    Case { name: "DynamicQuantizeLinear", nodes, inputs, outputs, weights: vec![], version: 17 }
}

/// One tree that is a chain, so that each row visits all of its nodes.
fn chain(nodes: i64) -> Case {
    let inner = |leaf: i64, other: fn(i64) -> i64| {
        (0..nodes).map(move |at| if at + 1 < nodes { other(at) } else { leaf }).collect::<Vec<i64>>()
    };
    let modes = (0..nodes).map(|at| if at + 1 < nodes { "BRANCH_LEQ" } else { "LEAF" }).collect::<Vec<_>>();
    let attributes = vec![
        onnx::ints("nodes_treeids", &vec![0; nodes as usize]),
        onnx::ints("nodes_nodeids", &inner(nodes - 1, |at| at)),
        onnx::ints("nodes_featureids", &vec![0; nodes as usize]),
        onnx::ints("nodes_truenodeids", &inner(0, |at| at + 1)),
        onnx::ints("nodes_falsenodeids", &inner(0, |at| at + 1)),
        onnx::floats_of("nodes_values", &vec![0.5; nodes as usize]),
        onnx::strings("nodes_modes", &modes),
        onnx::ints("class_treeids", &[0; 3]),
        onnx::ints("class_nodeids", &[nodes - 1; 3]),
        onnx::ints("class_ids", &[0, 1, 2]),
        onnx::floats_of("class_weights", &[0.2, 0.5, 0.3]),
        onnx::ints("classlabels_int64s", &[0, 1, 2]),
        onnx::string("post_transform", "NONE"),
    ];
    let nodes =
        vec![onnx::in_domain("ai.onnx.ml", onnx::node("TreeEnsembleClassifier", &["x"], &["l", "y"], attributes))];
    let (inputs, outputs) = (vec![onnx::value("x", F32, &[256, 4])], vec![onnx::value("y", F32, &[256, 3])]);
    Case { name: "TreeEnsembleClassifier", nodes, inputs, outputs, weights: vec![], version: 17 }
}

fn other_cases() -> Vec<Case> {
    let x: (i32, &[i64]) = (F32, &[64, 4096]);
    let layer = vec![onnx::floats("scale", &[4096], 1.0), onnx::floats("bias", &[4096], 0.0)];
    let ends = [onnx::whole("s", &[0]), onnx::whole("e", &[4096]), onnx::whole("a", &[1]), onnx::whole("t", &[2])];
    let mut choice = Case::two("Where", F32, &[64, 4096], &[64, 4096]);
    choice.nodes[0].input.insert(0, "c".into());
    choice.inputs.push(onnx::value("c", BOOL, &[64, 4096]));
    let mut einsum = Case::two("Einsum", F32, &[8, 64, 64], &[8, 64, 64]);
    einsum.nodes[0].attribute.push(onnx::string("equation", "bij,bjk->bik"));
    let mut concat = Case::two("Concat", F32, &[64, 4096], &[64, 4096]);
    concat.nodes[0].attribute.push(onnx::int("axis", 1));
    concat.outputs[0] = onnx::value("y", F32, &[64, 8192]);
    vec![
        choice,
        concat,
        einsum,
        chain(1000),
        quantized(),
        Case::of("LayerNormalization", "LayerNormalization", x, x, layer, vec![]),
        Case::of("Slice", "Slice", x, (F32, &[64, 2048]), ends.to_vec(), vec![]),
        Case::of(
            "Multinomial",
            "Multinomial",
            (F32, &[64, 256]),
            (I32, &[64, 16]),
            vec![],
            vec![onnx::int("sample_size", 16)],
        ),
        Case::of(
            "SpaceToDepth",
            "SpaceToDepth",
            (F32, &[1, 16, 64, 64]),
            (F32, &[1, 64, 32, 32]),
            vec![],
            vec![onnx::int("blocksize", 2)],
        ),
        Case::of("Not", "Not", (BOOL, &[64, 4096]), (BOOL, &[64, 4096]), vec![], vec![]),
        Case::of("PRelu", "PRelu", x, x, vec![onnx::floats("w", &[1], 0.1)], vec![]),
    ]
}

fn scalar(name: &str, value: i64) -> TensorProto {
    TensorProto { dims: vec![], ..onnx::whole(name, &[value]) }
}

/// A body that multiplies a state by a matrix, in each of many steps.
fn scan(steps: i64, size: i64) -> Case {
    let weights = onnx::floats("w", &[size, size], 0.01);
    let nodes = vec![
        onnx::node("MatMul", &["state", "w"], &["next"], vec![]),
        onnx::node("Add", &["next", "row"], &["made"], vec![]),
    ];
    let (state, row) = (onnx::value("state", F32, &[size, size]), onnx::value("row", F32, &[size]));
    let (next, made) = (onnx::value("next", F32, &[size, size]), onnx::value("made", F32, &[size, size]));
    let inner = onnx::graph(nodes, vec![state, row], vec![next, made], vec![weights]);
    let attributes = vec![onnx::body("body", inner), onnx::int("num_scan_inputs", 1)];
    Case {
        name: "Scan",
        nodes: vec![onnx::node("Scan", &["first", "rows"], &["last", "all"], attributes)],
        inputs: vec![onnx::value("first", F32, &[size, size]), onnx::value("rows", F32, &[steps, size])],
        outputs: vec![onnx::value("last", F32, &[size, size]), onnx::value("all", F32, &[steps, size, size])],
        weights: vec![],
        version: 11,
    }
}

#[test]
fn no_operator_takes_more_cpu_time_for_its_fuel_than_ten_times_a_matrix_product() {
    let cases = [element_cases(), shape_cases(), image_cases(), index_cases(), sequence_cases(), other_cases()];
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
    for case in cases.iter().flatten() {
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
