//! Operators on each element.

use super::Case;
use crate::runtime::tract::testing::{self as onnx, F16, F32, I32, I64};

/// Operators with one input and one output of FP32, and no attributes that matter.
const UNARY: &str = "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor HardSigmoid LeakyRelu Log Neg \
    Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh ThresholdedRelu HardSwish Identity";

/// Operators with one input and one output of FP16.
const UNARY_OF_FP16: [&str; 6] = ["Exp", "Tanh", "Sqrt", "Softmax", "Relu", "Sigmoid"];

const FLAT: &[i64] = &[64, 4096];
const CUBE: &[i64] = &[64, 64, 64];
const ROWS: &[i64] = &[64, 1, 64];

/// Operators with two inputs: their datatype and their shapes.
const BINARY: [(&str, i32, &[i64], &[i64]); 21] = [
    ("Add", F32, FLAT, FLAT),
    ("Add", F32, CUBE, ROWS),
    ("Sub", F32, FLAT, FLAT),
    ("Sub", F32, CUBE, ROWS),
    ("Mul", F32, FLAT, FLAT),
    ("Mul", F32, CUBE, ROWS),
    ("Div", F32, FLAT, FLAT),
    ("Div", F32, CUBE, ROWS),
    ("Pow", F32, FLAT, FLAT),
    ("Pow", F32, CUBE, ROWS),
    ("Min", F32, FLAT, FLAT),
    ("Min", F32, CUBE, ROWS),
    ("Max", F32, FLAT, FLAT),
    ("Max", F32, CUBE, ROWS),
    ("Mod", I32, FLAT, FLAT),
    ("Mod", I32, CUBE, ROWS),
    ("Equal", F32, FLAT, &[64, 1]),
    ("Less", F32, FLAT, &[64, 1]),
    ("Add", F16, FLAT, FLAT),
    ("Mul", F16, CUBE, ROWS),
    ("Add", I64, FLAT, FLAT),
];

/// Casts: their name, and the datatypes of input and output.
const CASTS: [(&str, i32, i32); 2] = [("Cast of FP16", F16, F32), ("Cast", F32, I64)];

pub(in super::super) fn element_cases() -> Vec<Case> {
    let cast = |(name, from, to): (&'static str, i32, i32)| {
        Case::of(name, "Cast", (from, FLAT), (to, FLAT), vec![], vec![onnx::int("to", to.into())])
    };
    let of_fp16 = |operator| Case::of("of FP16", operator, (F16, FLAT), (F16, FLAT), vec![], vec![]);
    let mut cases: Vec<Case> = UNARY.split_whitespace().map(Case::same).collect();
    cases.extend(BINARY.map(|(operator, element, a, b)| Case::two(operator, element, a, b)));
    cases.extend(UNARY_OF_FP16.map(of_fp16));
    cases.extend(CASTS.map(cast));
    cases.extend([Case::same("Gelu").version(20), Case::same("Clip")]);
    cases
}
