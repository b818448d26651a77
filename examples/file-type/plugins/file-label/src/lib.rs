//! Converts the probabilities of Magika's network into the type of a file, as Magika reports it: the network's choice if it
//! is probable enough, and otherwise only whether the file is text. All lookups are prepared in `init`.

mod answers;
mod knowledge;

use bulkhead_guest::prelude::*;
use serde::Deserialize;

use answers::{Answers, Mode};
use knowledge::{Kind, Knowledge};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Path of the asset with the model's configuration: labels and thresholds.
    model: String,
    /// Path of the asset that describes each label.
    knowledge: String,
    /// The minimum probability of the network's choice.
    mode: Mode,
}

impl Default for Config {
    fn default() -> Self {
        let (model, knowledge) = ("config.min.json".into(), "content_types_kb.min.json".into());
        Config { model, knowledge, mode: Mode::default() }
    }
}

pub struct FileLabel {
    knowledge: Knowledge,
    answers: Answers,
}

impl Plugin for FileLabel {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        let knowledge = parse(&config.knowledge, Knowledge::parse)?;
        let answers = parse(&config.model, |text| Answers::parse(text, &knowledge, config.mode))?;
        Ok(FileLabel { knowledge, answers })
    }

    fn signature(&self) -> Signature {
        Signature::new()
            .input("probabilities", Datatype::Fp32, [-1, i64::try_from(self.answers.count()).unwrap_or(i64::MAX)])
            .input("verdict", Datatype::Bytes, [-1])
            .output("label", Datatype::Bytes, [-1])
            .output("score", Datatype::Fp32, [-1])
            .output("mime_type", Datatype::Bytes, [-1])
            .output("group", Datatype::Bytes, [-1])
            .output("description", Datatype::Bytes, [-1])
    }

    fn process(&self, inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        let probabilities = inputs.get("probabilities")?.view::<f32>()?;
        let verdicts = inputs.get("verdict")?.byte_strings()?;
        let (rows, count) = (probabilities.rows(), verdicts.len());
        if rows.len() != count {
            let rows = rows.len();
            return Err(Failure::internal(format!("probabilities has {rows} rows, and verdict {count} elements")));
        }
        let answers = rows.zip(&verdicts).map(|(row, verdict)| self.answer(row, verdict));
        outputs(&answers.collect::<Result<Vec<_>, _>>()?)
    }
}

impl FileLabel {
    /// The type of a file, and its probability. A verdict of an earlier stage overrides the network.
    fn answer(&self, probabilities: &[f32], verdict: &[u8]) -> Result<(&Kind, f32), Failure> {
        if verdict.is_empty() {
            return self.answers.answer(probabilities).map_err(Failure::Internal);
        }
        let kind = self.knowledge.find(&String::from_utf8_lossy(verdict));
        Ok((kind.map_err(|error| Failure::internal(format!("verdict: {error}")))?, 1.0))
    }
}

bulkhead_guest::plugin!(FileLabel);

fn parse<T>(asset: &str, parser: impl FnOnce(&str) -> Result<T, String>) -> Result<T, InitError> {
    let text = bulkhead_guest::assets::read_text(asset)?;
    Ok(parser(&text).map_err(|error| format!("the asset {asset} is not for this plugin: {error}"))?)
}

fn outputs(answers: &[(&Kind, f32)]) -> Result<Outputs, Failure> {
    let shape = [answers.len() as u64];
    let texts = |of: fn(&Kind) -> &str| {
        let texts: Vec<&str> = answers.iter().map(|(kind, _)| of(kind)).collect();
        Tensor::bytes(&shape, &texts)
    };
    let scores: Vec<f32> = answers.iter().map(|(_, score)| *score).collect();
    Ok(Outputs::new()
        .with("label", texts(|kind| &kind.label)?)
        .with("score", Tensor::new(&shape, &scores)?)
        .with("mime_type", texts(|kind| &kind.mime_type)?)
        .with("group", texts(|kind| &kind.group)?)
        .with("description", texts(|kind| &kind.description)?))
}

#[cfg(test)]
mod tests;
