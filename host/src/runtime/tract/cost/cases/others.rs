//! The remaining operators: selection, quantisation, trees, random numbers.

use super::Case;
use crate::runtime::tract::testing::{self as onnx, BOOL, F32, I32, U8};

pub(in super::super) fn quantized() -> Case {
    let nodes = vec![onnx::node("DynamicQuantizeLinear", &["x"], &["y", "s", "z"], vec![])];
    let (inputs, outputs) = (vec![onnx::value("x", F32, &[64, 4096])], vec![onnx::value("y", U8, &[64, 4096])]);
    Case { name: "DynamicQuantizeLinear", nodes, inputs, outputs, weights: vec![], version: 17 }
}

/// One tree that is a chain, so that each row visits all of its nodes.
pub(in super::super) fn chain(nodes: i64) -> Case {
    let inner = |leaf: i64, other: fn(i64) -> i64| {
        (0..nodes).map(move |at| if at + 1 < nodes { other(at) } else { leaf }).collect::<Vec<i64>>()
    };
    let modes = (0..nodes).map(|at| if at + 1 < nodes { "BRANCH_LEQ" } else { "LEAF" }).collect::<Vec<_>>();
    let count = usize::try_from(nodes).unwrap();
    let attributes = vec![
        onnx::ints("nodes_treeids", &vec![0; count]),
        onnx::ints("nodes_nodeids", &inner(nodes - 1, |at| at)),
        onnx::ints("nodes_featureids", &vec![0; count]),
        onnx::ints("nodes_truenodeids", &inner(0, |at| at + 1)),
        onnx::ints("nodes_falsenodeids", &inner(0, |at| at + 1)),
        onnx::floats_of("nodes_values", &vec![0.5; count]),
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

pub(in super::super) fn other_cases() -> Vec<Case> {
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
