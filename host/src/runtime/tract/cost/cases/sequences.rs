//! Recurrent networks, bodies and transforms.

use tract_onnx::pb::TensorProto;

use super::Case;
use crate::runtime::tract::testing::{self as onnx, BOOL, F32};

pub(in super::super) fn sequence_cases() -> Vec<Case> {
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

pub(in super::super) fn scalar(name: &str, value: i64) -> TensorProto {
    TensorProto { dims: vec![], ..onnx::whole(name, &[value]) }
}

/// A body that multiplies a state by a matrix, in each of many steps.
pub(in super::super) fn scan(steps: i64, size: i64) -> Case {
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
