//! Functions of FP64, which tract has for FP32 alone.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::element_wise::ElementWiseMiniOp;
use tract_onnx::tract_core::ops::nn::LeakyRelu;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::runtime::tract) enum Double {
    Sigmoid,
    HardSwish,
    Round,
    LeakyRelu { alpha: f32 },
}

impl Eq for Double {}

impl Double {
    pub(super) fn of(operator: &dyn ElementWiseMiniOp) -> Option<Double> {
        Some(match operator.name().as_str() {
            "Sigmoid" => Double::Sigmoid,
            "HardSwish" => Double::HardSwish,
            "RoundHalfToEven" => Double::Round,
            "LeakyRelu" => Double::LeakyRelu { alpha: operator.downcast_ref::<LeakyRelu>()?.alpha },
            _ => return None,
        })
    }

    pub(super) fn eval(self, tensor: &Tensor) -> TractResult<Tensor> {
        Ok(tensor.to_plain_array_view::<f64>()?.mapv(|x| self.at(x)).into_tensor())
    }

    fn at(self, x: f64) -> f64 {
        match self {
            Double::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Double::HardSwish if x.is_nan() => x,
            Double::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Double::Round => x.round_ties_even(),
            Double::LeakyRelu { alpha } if x < 0.0 => x * f64::from(alpha),
            Double::LeakyRelu { .. } => x,
        }
    }
}
