//! Products of matrices, convolutions, pools and other operators on images.

use tract_onnx::pb::TensorProto;

use Attribute::{Group, Kernel, Pads, Size};

use super::Case;
use crate::runtime::tract::testing::{self as onnx, F16, F32, I32};

/// Name and operator, shapes of `x` and `y`, shape of the weights `w` if there are any, and attributes.
type Row = (&'static str, &'static str, &'static [i64], &'static [i64], &'static [i64], &'static [Attribute]);

/// An attribute of an operator. `Kernel` and `Pads` have the same number for every side.
enum Attribute {
    Kernel(i64),
    Pads(i64),
    Group(i64),
    Size(i64),
}

const X: &[i64] = &[1, 16, 64, 64];
const HALF: &[i64] = &[1, 16, 32, 32];
const CHANNELS: &[i64] = &[1, 64, 64, 64];
const MANY_CHANNELS: &[i64] = &[1, 4000, 4, 4];

const PRODUCTS: [Row; 2] = [
    ("MatMul", "MatMul", &[256, 256], &[256, 256], &[256, 256], &[]),
    ("MatMul of rows", "MatMul", &[1, 1024], &[1, 1024], &[1024, 1024], &[]),
];

const CONVOLUTIONS: [Row; 8] = [
    ("Conv", "Conv", X, &[1, 32, 62, 62], &[32, 16, 3, 3], &[]),
    ("Conv 1x1", "Conv", X, &[1, 32, 64, 64], &[32, 16, 1, 1], &[]),
    ("Conv depthwise", "Conv", X, X, &[16, 1, 3, 3], &[Group(16), Pads(1)]),
    ("Conv of groups", "Conv", X, X, &[16, 4, 3, 3], &[Group(4), Pads(1)]),
    ("Conv 15x15 depthwise", "Conv", X, X, &[16, 1, 15, 15], &[Group(16), Pads(7)]),
    ("Conv open", "Conv", &[1, 16, -1, -1], &[1, 8, -1, -1], &[8, 16, 3, 3], &[]),
    ("ConvTranspose", "ConvTranspose", X, &[1, 8, 66, 66], &[16, 8, 3, 3], &[]),
    ("ConvTranspose depthwise", "ConvTranspose", X, &[1, 16, 66, 66], &[16, 1, 3, 3], &[Group(16), Pads(0)]),
];

const WINDOWS: [Row; 7] = [
    ("AveragePool 33", "AveragePool", X, HALF, &[], &[Kernel(33)]),
    ("AveragePool 3", "AveragePool", X, X, &[], &[Kernel(3), Pads(1)]),
    ("MaxPool 33", "MaxPool", X, HALF, &[], &[Kernel(33)]),
    ("MaxPool 3", "MaxPool", X, X, &[], &[Kernel(3), Pads(1)]),
    ("GlobalAveragePool", "GlobalAveragePool", X, &[1, 16, 1, 1], &[], &[]),
    ("LRN 5", "LRN", CHANNELS, CHANNELS, &[], &[Size(5)]),
    ("LRN 2001", "LRN", MANY_CHANNELS, MANY_CHANNELS, &[], &[Size(2001)]),
];

pub(in super::super) fn image_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = PRODUCTS.iter().map(|row| case(row, 0.5)).collect();
    cases.push(Case::two("MatMul", F32, &[8, 128, 128], &[8, 128, 128]));
    cases.push(Case::two("MatMul", I32, &[128, 128], &[128, 128]));
    cases.push(Case::two("MatMul", F16, &[128, 128], &[128, 128]));
    cases.extend(CONVOLUTIONS.iter().chain(&WINDOWS).map(|row| case(row, 0.1)));
    let scaling = vec![onnx::floats("scale", &[16], 1.0), onnx::floats("bias", &[16], 0.0)];
    cases.push(Case::of("InstanceNormalization", "InstanceNormalization", (F32, X), (F32, X), scaling, vec![]));
    cases.extend(["nearest", "linear", "cubic"].map(resize));
    cases.extend(["bilinear", "nearest", "bicubic"].map(grid_sample));
    cases
}

fn case((name, operator, x, y, weights, attributes): &Row, weight: f32) -> Case {
    let weights = if weights.is_empty() { vec![] } else { vec![onnx::floats("w", weights, weight)] };
    let attribute = |attribute: &Attribute| match *attribute {
        Kernel(side) => onnx::ints("kernel_shape", &[side; 2]),
        Pads(pad) => onnx::ints("pads", &[pad; 4]),
        Group(groups) => onnx::int("group", groups),
        Size(size) => onnx::int("size", size),
    };
    Case::of(name, operator, (F32, x), (F32, y), weights, attributes.iter().map(attribute).collect())
}

fn resize(mode: &str) -> Case {
    let attributes = vec![onnx::string("mode", mode)];
    let mut case = Case::of("Resize", "Resize", (F32, X), (F32, &[1, 16, 96, 96]), vec![], attributes);
    case.nodes[0].input = vec!["x".into(), String::new(), "scales".into()];
    case.weights = vec![TensorProto { float_data: vec![1.0, 1.0, 1.5, 1.5], ..onnx::floats("scales", &[4], 0.0) }];
    case
}

fn grid_sample(mode: &str) -> Case {
    let nodes = vec![onnx::node("GridSample", &["x", "grid"], &["y"], vec![onnx::string("mode", mode)])];
    let inputs = vec![onnx::value("x", F32, X), onnx::value("grid", F32, &[1, 64, 64, 2])];
    let outputs = vec![onnx::value("y", F32, X)];
    Case { name: "GridSample", nodes, inputs, outputs, weights: vec![], version: 16 }
}
