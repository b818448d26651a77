//! Converts the scores of a classifier into classes: for each row the best `top-k`, with their labels.
//!
//! The outputs are rectangular, as tensors must be. A position without a class, because the score is below the threshold or
//! NaN, has the label "", the score 0 and the index -1.

mod rank;

use bulkhead_guest::{assets, prelude::*};
use serde::Deserialize;

/// The request parameter that overrides `top-k`.
const TOP_K: &str = "top_k";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// Name of the tensor of scores, FP32 [pictures, classes].
    input: String,
    /// Converts scores into probabilities. Leave it out if the network does so itself.
    softmax: bool,
    /// Number of classes for each row. A request may override it with the parameter `top_k`.
    top_k: usize,
    /// Scores below this are not shown; without it all scores are.
    threshold: Option<f32>,
    /// An asset with one label a line, in the order of the classes. Without it the label is the index.
    labels: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config { input: "logits".into(), softmax: false, top_k: 1, threshold: None, labels: None }
    }
}

pub struct Classify {
    input: String,
    softmax: bool,
    top_k: usize,
    threshold: f32,
    labels: Option<Labels>,
}

struct Labels {
    file: String,
    names: Vec<String>,
}

impl Plugin for Classify {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        let threshold = config.threshold.unwrap_or(f32::NEG_INFINITY);
        if config.top_k == 0 || threshold.is_nan() {
            return Err("config: top-k must be 1 or more, and threshold a number".into());
        }
        let labels = config.labels.map(Labels::read).transpose()?;
        if let Some(Labels { file, names }) = labels.as_ref().filter(|labels| labels.names.len() < config.top_k) {
            let (top_k, count) = (config.top_k, names.len());
            return Err(format!("config: top-k is {top_k}, and {file} has {count} labels: lower top-k").into());
        }
        Ok(Classify { input: config.input, softmax: config.softmax, top_k: config.top_k, threshold, labels })
    }

    fn signature(&self) -> Signature {
        // The signature states the number of classes, so that a network that does not fit the labels is refused at
        // activation.
        let classes = self.labels.as_ref().map_or(-1, |labels| i64::try_from(labels.names.len()).unwrap_or(i64::MAX));
        Signature::new()
            .input(&self.input, Datatype::Fp32, [-1, classes])
            .output("label", Datatype::Bytes, [-1, -1])
            .output("score", Datatype::Fp32, [-1, -1])
            .output("index", Datatype::Int32, [-1, -1])
    }

    fn process(&self, inputs: Inputs, parameters: &Parameters) -> Result<Outputs, Failure> {
        let scores = inputs.get(&self.input)?.view::<f32>()?;
        let classes = scores.shape().last().map_or(0, |classes| usize::try_from(*classes).unwrap_or(usize::MAX));
        self.check_labels(classes)?;
        let top_k = self.top_k(parameters, classes)?;
        let mut answers = Answers::default();
        for row in scores.rows() {
            self.classify(row, top_k, &mut answers);
        }
        answers.into_outputs(scores.shape()[0], top_k as u64)
    }
}

impl Classify {
    fn check_labels(&self, classes: usize) -> Result<(), Failure> {
        match &self.labels {
            Some(Labels { file, names }) if names.len() != classes => Err(Failure::internal(format!(
                "\"{}\" has {classes} scores in a row, and {file} has {} labels: there must be one for each score",
                self.input,
                names.len()
            ))),
            _ => Ok(()),
        }
    }

    fn top_k(&self, parameters: &Parameters, classes: usize) -> Result<usize, Failure> {
        let Some(wanted) = parameters.integer(TOP_K)? else {
            let text = || format!("top-k is {}, and \"{}\" has {classes} scores in a row", self.top_k, self.input);
            return if self.top_k <= classes { Ok(self.top_k) } else { Err(Failure::internal(text())) };
        };
        let fitting = usize::try_from(wanted).ok().filter(|k| (1..=classes).contains(k));
        let text = || format!("parameter \"{TOP_K}\" is {wanted}: it must be 1 to {classes}, the number of classes");
        fitting.ok_or_else(|| Failure::invalid_input(text()))
    }

    fn classify(&self, row: &[f32], top_k: usize, answers: &mut Answers) {
        let probabilities = self.softmax.then(|| rank::softmax(row));
        let scores = probabilities.as_deref().unwrap_or(row);
        for index in rank::best(scores, top_k) {
            // The comparison is false for NaN too.
            if scores[index] >= self.threshold {
                answers.push(self.label(index), scores[index], i32::try_from(index).unwrap_or(i32::MAX));
            } else {
                answers.push(String::new(), 0.0, -1);
            }
        }
    }

    fn label(&self, index: usize) -> String {
        self.labels.as_ref().map_or_else(|| index.to_string(), |labels| labels.names[index].clone())
    }
}

impl Labels {
    fn read(file: String) -> Result<Labels, InitError> {
        let names: Vec<String> = assets::read_text(&file)?.lines().map(str::to_owned).collect();
        match names.is_empty() {
            true => Err(format!("config: {file} has no labels: write one a line, in the order of the classes").into()),
            false => Ok(Labels { file, names }),
        }
    }
}

#[derive(Default)]
struct Answers {
    labels: Vec<String>,
    scores: Vec<f32>,
    indices: Vec<i32>,
}

impl Answers {
    fn push(&mut self, label: String, score: f32, index: i32) {
        self.labels.push(label);
        self.scores.push(score);
        self.indices.push(index);
    }

    fn into_outputs(self, rows: u64, top_k: u64) -> Result<Outputs, Failure> {
        let shape = [rows, top_k];
        Ok(Outputs::new()
            .with("label", Tensor::bytes(&shape, &self.labels)?)
            .with("score", Tensor::new(&shape, &self.scores)?)
            .with("index", Tensor::new(&shape, &self.indices)?))
    }
}

bulkhead_guest::plugin!(Classify);

#[cfg(test)]
mod tests;
