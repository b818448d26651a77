//! Operators that reduce, move, look up and scatter elements.

use super::Case;
use super::sequences::scalar;
use crate::runtime::tract::testing::{self as onnx, F32, I64};

pub(in super::super) fn shape_cases() -> Vec<Case> {
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
        for (axes, shape) in [(&[0][..], [1, 64, 64]), (&[1], [64, 1, 64]), (&[2], [64, 64, 1]), (&[0, 2], [1, 64, 1])]
        {
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

pub(in super::super) fn index_cases() -> Vec<Case> {
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
