//! Operators on each element.

use super::Case;
use crate::runtime::tract::testing::{self as onnx, F16, F32, I32, I64};

pub(in super::super) fn element_cases() -> Vec<Case> {
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
