//! Trial requests of a bundle, with the outputs that its model must give. They run before the bundle is served, because
//! some models compute other numbers in one runtime than in another.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bulkhead_tensor::match_datatype;
use serde::Deserialize;
use toml::Value;

use super::Bundle;
use crate::pipeline::{Pipeline, RunError, StageError};
use crate::sandbox::{ParameterValue, Parameters, ResponseSink, SinkError};
use crate::scheduler::Permit;
use crate::tenant::Budget;
use crate::tensor::{
    self, Datatype, Difference, NamedTensors, SpecMismatch, Tensor, TensorError, Tolerance, push_byte_string,
};

/// A `[[trial]]` of a manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialEntry {
    pub name: String,
    #[serde(default)]
    pub inputs: BTreeMap<String, TensorEntry>,
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
    /// Expected outputs. Outputs that are not named may have any value.
    #[serde(default)]
    pub outputs: Wanted,
    /// Expected outputs of each answer of a model that streams, which must give exactly as many answers.
    #[serde(default)]
    pub answers: Vec<Wanted>,
}

/// Expected tensors, by the name of the output.
pub(super) type Wanted = BTreeMap<String, TensorEntry>;

/// A tensor in a manifest: its elements in `data`, or all of its bytes in a `file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    pub datatype: String,
    /// By default one dimension, with as many elements as there are.
    pub shape: Option<Vec<u64>>,
    pub data: Option<Vec<Value>>,
    /// A file of the bundle: row-major and little-endian; for BYTES the file is the one element.
    pub file: Option<String>,
    /// Tolerance of an output's floating-point numbers: `absolute + relative * |expected|`.
    #[serde(default)]
    pub absolute: f64,
    #[serde(default)]
    pub relative: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("trial \"{trial}\": tensor \"{tensor}\" {problem}")]
    Entry { trial: String, tensor: String, problem: String },
    #[error("trial \"{trial}\": parameter \"{parameter}\" must be a boolean, a number or a text")]
    Parameter { trial: String, parameter: String },
    #[error("trial \"{trial}\": {mismatch}")]
    Inputs { trial: String, mismatch: SpecMismatch },
    #[error(
        "trial \"{trial}\" did not begin: those before it took {}, which is the limit of all together (init.time); send fewer, or smaller ones",
        humantime::format_duration(*.bound)
    )]
    TooLong { trial: String, bound: Duration },
    #[error("trial \"{trial}\": {error}")]
    Run { trial: String, error: RunError },
    #[error("trial \"{trial}\": the model gave {given} answers, and `answers` of the trial expects {wanted}")]
    Answers { trial: String, given: usize, wanted: usize },
    #[error(
        "trial \"{trial}\": the model answers in a stream, and gave {given}: list its answers in `answers`, one table each; an empty one, `answers = [{{}}]`, accepts any values"
    )]
    NotOne { trial: String, given: &'static str },
    #[error(
        "trial \"{trial}\": it expects both outputs and answers; give only answers for a model that streams, only outputs for others"
    )]
    Both { trial: String },
    #[error("trial \"{trial}\": the model has no output \"{output}\"; it gives: {known}")]
    UnknownOutput { trial: String, output: String, known: String },
    #[error(
        "trial \"{trial}\": output \"{output}\" {difference}. Correct the trial in bundle.toml, or find out why the model gives another result on this host"
    )]
    Different { trial: String, output: String, difference: Difference },
}

/// Runs all trials of a bundle. The first trial that fails ends the run, and so does one that has not begun within `bound`:
/// each may take as long as a call, and all of them hold up other uploads.
pub async fn run_trials(
    bundle: &Bundle,
    pipeline: &Arc<Pipeline>,
    permit: &Permit,
    bound: Duration,
) -> Result<(), TrialError> {
    let began = Instant::now();
    for trial in &bundle.manifest.trials {
        if began.elapsed() >= bound {
            return Err(TrialError::TooLong { trial: trial.name.clone(), bound });
        }
        trial.run(bundle, pipeline, permit).await?;
    }
    Ok(())
}

impl TrialEntry {
    async fn run(&self, bundle: &Bundle, pipeline: &Arc<Pipeline>, permit: &Permit) -> Result<(), TrialError> {
        let trial = || self.name.clone();
        let inputs = self.tensors(&self.inputs, bundle)?;
        let inputs = tensor::bind_tensors(&pipeline.signature.inputs, inputs);
        let inputs = inputs.map_err(|mismatch| TrialError::Inputs { trial: trial(), mismatch })?;
        let given = self.answers_of(pipeline, permit, inputs).await?;
        if self.answers.is_empty() {
            return given.iter().try_for_each(|outputs| self.compare(bundle, &self.outputs, outputs));
        }
        if given.len() != self.answers.len() {
            return Err(TrialError::Answers { trial: trial(), given: given.len(), wanted: self.answers.len() });
        }
        self.answers.iter().zip(&given).try_for_each(|(wanted, outputs)| self.compare(bundle, wanted, outputs))
    }

    async fn answers_of(
        &self,
        pipeline: &Arc<Pipeline>,
        permit: &Permit,
        inputs: NamedTensors,
    ) -> Result<Vec<NamedTensors>, TrialError> {
        let (name, parameters) = ("trial".into(), self.parameters()?);
        let failed = |error| TrialError::Run { trial: self.name.clone(), error };
        if self.answers.is_empty() {
            return match pipeline.run(permit, &name, inputs, &parameters).await {
                Ok(outputs) => Ok(vec![outputs]),
                Err(RunError { error: StageError::NotOne { given }, .. }) => {
                    Err(TrialError::NotOne { trial: self.name.clone(), given })
                }
                Err(error) => Err(failed(error)),
            };
        }
        if !self.outputs.is_empty() {
            return Err(TrialError::Both { trial: self.name.clone() });
        }
        let (sender, answers) = mpsc::channel();
        pipeline.stream(permit, &name, inputs, parameters, Box::new(Collected(sender))).await.map_err(failed)?;
        Ok(answers.into_iter().collect())
    }

    fn compare(&self, bundle: &Bundle, wanted: &Wanted, outputs: &NamedTensors) -> Result<(), TrialError> {
        let trial = || self.name.clone();
        for (name, expected) in self.tensors(wanted, bundle)? {
            let Some((_, got)) = outputs.iter().find(|(output, _)| *output == name) else {
                let known = outputs.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ");
                return Err(TrialError::UnknownOutput { trial: trial(), output: name.to_string(), known });
            };
            let tolerance = wanted.get(&*name).map_or(Tolerance { absolute: 0.0, relative: 0.0 }, |entry| Tolerance {
                absolute: entry.absolute,
                relative: entry.relative,
            });
            if let Some(difference) = got.differs(&expected, tolerance) {
                return Err(TrialError::Different { trial: trial(), output: name.to_string(), difference });
            }
        }
        Ok(())
    }

    fn tensors(&self, entries: &BTreeMap<String, TensorEntry>, bundle: &Bundle) -> Result<NamedTensors, TrialError> {
        let tensor = |(name, entry): (&String, &TensorEntry)| {
            let failed = |problem| TrialError::Entry { trial: self.name.clone(), tensor: name.clone(), problem };
            Ok((Arc::from(name.as_str()), entry.tensor(bundle).map_err(failed)?))
        };
        entries.iter().map(tensor).collect()
    }

    fn parameters(&self) -> Result<Parameters, TrialError> {
        let parameter = |(name, value): (&String, &Value)| {
            let value = match value {
                Value::Boolean(truth) => ParameterValue::Boolean(*truth),
                Value::Integer(number) => ParameterValue::Integer(*number),
                Value::Float(number) => ParameterValue::Number(*number),
                Value::String(text) => ParameterValue::Text(text.clone()),
                _ => return Err(TrialError::Parameter { trial: self.name.clone(), parameter: name.clone() }),
            };
            Ok((name.clone(), value))
        };
        self.parameters.iter().map(parameter).collect()
    }
}

/// A sink that keeps all answers of a trial. Their bytes are charged to the call, and so stay within its memory limit.
struct Collected(mpsc::Sender<NamedTensors>);

#[async_trait]
impl ResponseSink for Collected {
    async fn take(&mut self, outputs: NamedTensors, _: &mut Budget) -> Result<bool, SinkError> {
        Ok(self.0.send(outputs).is_ok())
    }
}

impl TensorEntry {
    fn tensor(&self, bundle: &Bundle) -> Result<Tensor, String> {
        let datatype: Datatype = self.datatype.parse().map_err(|wrong| format!("has a wrong datatype: {wrong}"))?;
        let (data, elements) = match (&self.data, &self.file) {
            (Some(data), None) => (elements(datatype, data)?, data.len() as u64),
            (None, Some(file)) => from_file(datatype, &bundle.file(file).map_err(|error| error.to_string())?),
            _ => return Err("needs either data or a file".into()),
        };
        let shape = self.shape.clone().unwrap_or_else(|| vec![elements]);
        Tensor::new(datatype, shape, data.into()).map_err(|error: TensorError| error.to_string())
    }
}

fn from_file(datatype: Datatype, content: &[u8]) -> (Vec<u8>, u64) {
    match datatype.width() {
        Some(width) => (content.to_vec(), content.len() as u64 / width),
        None => {
            let mut data = Vec::with_capacity(content.len() + 4);
            push_byte_string(&mut data, content);
            (data, 1)
        }
    }
}

fn elements(datatype: Datatype, values: &[Value]) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    for value in values {
        push_element(datatype, value, &mut data).ok_or_else(|| format!("cannot hold {value} as {datatype}"))?;
    }
    Ok(data)
}

fn push_element(datatype: Datatype, value: &Value, data: &mut Vec<u8>) -> Option<()> {
    let whole = || value.as_integer();
    let fraction = || value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    match_datatype!(datatype, {
        boolean => data.push(u8::from(value.as_bool()?)),
        integer T => data.extend(T::try_from(whole()?).ok()?.to_le_bytes()),
        half T => data.extend(T::from_f64(fraction()?).to_le_bytes()),
        float T => {
            #[allow(clippy::cast_possible_truncation, reason = "FP32 is rounded to the nearest, and FP64 is not cast")]
            let number = fraction()? as T;
            data.extend(number.to_le_bytes());
        },
        bytes => push_byte_string(data, value.as_str()?.as_bytes()),
    });
    Some(())
}
