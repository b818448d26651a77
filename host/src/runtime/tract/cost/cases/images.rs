//! Products of matrices, convolutions, pools and other operators on images.

use tract_onnx::pb::TensorProto;

use super::Case;
use crate::runtime::tract::testing::{self as onnx, F16, F32, I32};

pub(in super::super) fn image_cases() -> Vec<Case> {
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
