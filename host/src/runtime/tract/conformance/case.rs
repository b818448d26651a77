//! One case: a model with its inputs and the outputs that it must give.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};
use tract_onnx::prelude::Framework;

use crate::config::CallLimits;
use crate::runtime::tract::load::load_onnx;
use crate::runtime::{InputShapes, LoadError, Model};
use crate::tenant::Budget;
use crate::tensor::{Datatype, NamedTensors, Tensor};

const LIMITS: CallLimits =
    CallLimits { fuel: 100_000_000_000_000, memory: 1 << 30, time: Duration::from_secs(20), log: 0 };

pub(super) struct Case {
    pub operator: String,
    rtol: f64,
    atol: f64,
    model: Vec<u8>,
    inputs: Option<NamedTensors>,
    outputs: Option<NamedTensors>,
}

#[derive(Deserialize)]
struct Facts {
    operator: String,
    rtol: f64,
    atol: f64,
}

pub(super) enum Outcome {
    Passed,
    /// The loader does not take the model.
    Refused(String),
    /// Clients cannot exchange a tensor of the case.
    NotExchanged,
    /// The result is not the expected one.
    Differs(String),
    /// The loader took the model, and the run failed.
    Failed(String),
}

impl Outcome {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Refused(_) => "refused",
            Outcome::NotExchanged => "not-exchanged",
            Outcome::Differs(_) => "differs",
            Outcome::Failed(_) => "failed",
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Outcome::Passed | Outcome::NotExchanged => "",
            Outcome::Refused(text) | Outcome::Differs(text) | Outcome::Failed(text) => text,
        }
    }
}

impl Case {
    pub(super) fn read(folder: &Path) -> Case {
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let facts: Facts = serde_json::from_slice(&read("case.json")).unwrap();
        Case {
            operator: facts.operator,
            rtol: facts.rtol,
            atol: facts.atol,
            model: read("model.onnx"),
            inputs: tensors(&read("inputs.onnx")),
            outputs: tensors(&read("outputs.onnx")),
        }
    }

    pub(super) fn run(&self) -> Outcome {
        let (Some(inputs), Some(wanted)) = (&self.inputs, &self.outputs) else { return Outcome::NotExchanged };
        let graph = match load_onnx(&self.model, &InputShapes::new()) {
            Err(LoadError::ElementType { .. }) => return Outcome::NotExchanged,
            Err(error) => return Outcome::Refused(error.to_string()),
            Ok(graph) => graph,
        };
        match graph.run(inputs.clone(), &mut Budget::new(&LIMITS)) {
            Err(error) => Outcome::Failed(error.to_string()),
            Ok(outputs) => self.difference(wanted, &outputs).map_or(Outcome::Passed, Outcome::Differs),
        }
    }

    fn difference(&self, wanted: &NamedTensors, given: &NamedTensors) -> Option<String> {
        if wanted.len() != given.len() {
            return Some(format!("{} outputs, {} are wanted", given.len(), wanted.len()));
        }
        wanted.iter().zip(given).find_map(|((name, wanted), (_, given))| {
            let kinds = |tensor: &Tensor| (tensor.datatype(), tensor.shape().to_vec());
            if kinds(wanted) != kinds(given) {
                return Some(format!("\"{name}\" is {:?}, {:?} is wanted", kinds(given), kinds(wanted)));
            }
            let floats = [Datatype::Fp16, Datatype::Fp32, Datatype::Fp64].contains(&given.datatype());
            if !floats {
                let same = given.data() == wanted.data();
                return (!same).then(|| format!("\"{name}\" has other integers: {given:?}, {wanted:?} is wanted"));
            }
            // One unit in the last place of FP16 is a thousandth.
            let rtol = if given.datatype() == Datatype::Fp16 { self.rtol.max(2e-3) } else { self.rtol };
            let (given, wanted) = (numbers(given), numbers(wanted));
            // A small number that is left of large ones has their error.
            let largest = wanted.iter().filter(|x| x.is_finite()).fold(0.0_f64, |most, x| most.max(x.abs()));
            let atol = self.atol.max(largest * 4e-6);
            let far = |(given, wanted): (&f64, &f64)| {
                !(given == wanted
                    || given.is_nan() && wanted.is_nan()
                    || (given - wanted).abs() <= atol + rtol * wanted.abs() && wanted.is_finite())
            };
            let at = given.iter().zip(&wanted).position(far)?;
            Some(format!("\"{name}\"[{at}] is {}, {} is wanted", given[at], wanted[at]))
        })
    }
}

/// The tensors of a file, which are the weights of an empty graph; `None` if clients cannot exchange one.
fn tensors(mut file: &[u8]) -> Option<NamedTensors> {
    let model = tract_onnx::onnx().proto_model_for_read(&mut file).unwrap();
    model.graph.unwrap_or_default().initializer.into_iter().map(tensor).collect()
}

fn tensor(proto: TensorProto) -> Option<(std::sync::Arc<str>, Tensor)> {
    let datatype = datatype(proto.data_type)?;
    let shape = proto.dims.iter().map(|size| size.cast_unsigned()).collect();
    let data = proto.raw_data.clone();
    Some((proto.name.into(), Tensor::new(datatype, shape, data.into()).unwrap()))
}

fn datatype(element: i32) -> Option<Datatype> {
    Some(match DataType::try_from(element).ok()? {
        DataType::Bool => Datatype::Bool,
        DataType::Uint8 => Datatype::Uint8,
        DataType::Uint16 => Datatype::Uint16,
        DataType::Uint32 => Datatype::Uint32,
        DataType::Uint64 => Datatype::Uint64,
        DataType::Int8 => Datatype::Int8,
        DataType::Int16 => Datatype::Int16,
        DataType::Int32 => Datatype::Int32,
        DataType::Int64 => Datatype::Int64,
        DataType::Float16 => Datatype::Fp16,
        DataType::Float => Datatype::Fp32,
        DataType::Double => Datatype::Fp64,
        _ => return None,
    })
}

/// The elements as FP64.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
    }
    let data = tensor.data();
    match tensor.datatype() {
        Datatype::Bool | Datatype::Uint8 => each(data, |b| u8::from_le_bytes(b).into()),
        Datatype::Uint16 => each(data, |b| u16::from_le_bytes(b).into()),
        Datatype::Uint32 => each(data, |b| u32::from_le_bytes(b).into()),
        Datatype::Uint64 => each(data, |b| u64::from_le_bytes(b) as f64),
        Datatype::Int8 => each(data, |b| i8::from_le_bytes(b).into()),
        Datatype::Int16 => each(data, |b| i16::from_le_bytes(b).into()),
        Datatype::Int32 => each(data, |b| i32::from_le_bytes(b).into()),
        Datatype::Int64 => each(data, |b| i64::from_le_bytes(b) as f64),
        Datatype::Fp16 => each(data, |b| half::f16::from_le_bytes(b).into()),
        Datatype::Fp32 => each(data, |b| f32::from_le_bytes(b).into()),
        Datatype::Fp64 => each(data, f64::from_le_bytes),
        Datatype::Bf16 | Datatype::Bytes => Vec::new(),
    }
}
