//! The answer for each of the network's outputs, following `magika.py` of Magika 1.0.3.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;

use crate::knowledge::{Kind, Knowledge};

/// The minimum probability at which the network's choice is used.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Always use the network's choice.
    BestGuess,
    /// Apply the model's threshold that is the same for all types.
    MediumConfidence,
    /// Apply the model's threshold of the chosen type.
    #[default]
    HighConfidence,
}

/// The part of a model's `config.min.json` that describes its outputs.
#[derive(Deserialize)]
struct Model {
    target_labels_space: Vec<String>,
    /// Keyed by the network's own label, before it is overwritten.
    thresholds: BTreeMap<String, f64>,
    medium_confidence_threshold: f64,
    overwrite_map: BTreeMap<String, String>,
}

/// One answer for each of the network's outputs.
pub(crate) struct Answers(Vec<Answer>);

struct Answer {
    /// `None` if the network's choice is always used. Double precision, because 0.9 is another number in single precision.
    threshold: Option<f64>,
    sure: Rc<Kind>,
    unsure: Rc<Kind>,
}

impl Answers {
    pub(crate) fn parse(config: &str, knowledge: &Knowledge, mode: Mode) -> Result<Answers, String> {
        let model: Model = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if model.target_labels_space.is_empty() {
            return Err("target_labels_space names no label".into());
        }
        let labels = model.target_labels_space.iter();
        Ok(Answers(labels.map(|label| model.answer(label, knowledge, mode)).collect::<Result<_, _>>()?))
    }

    /// Number of the network's outputs.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The type of a file, and the probability of the network's first choice. If several are equally probable, the first
    /// one counts.
    pub(crate) fn answer(&self, probabilities: &[f32]) -> Result<(&Kind, f32), String> {
        let outputs = self.0.iter().zip(probabilities);
        let best = outputs.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (answer, score) = best.ok_or("a row of probabilities is empty")?;
        let is_sure = answer.threshold.is_none_or(|threshold| f64::from(*score) >= threshold);
        Ok((if is_sure { &answer.sure } else { &answer.unsure }, *score))
    }
}

impl Model {
    fn answer(&self, label: &str, knowledge: &Knowledge, mode: Mode) -> Result<Answer, String> {
        let sure = knowledge.find(self.overwrite_map.get(label).map_or(label, String::as_str))?;
        let unsure = knowledge.find(if sure.is_text { "txt" } else { "unknown" })?;
        Ok(Answer { threshold: self.threshold(label, mode), sure: sure.clone(), unsure: unsure.clone() })
    }

    fn threshold(&self, label: &str, mode: Mode) -> Option<f64> {
        match mode {
            Mode::BestGuess => None,
            Mode::MediumConfidence => Some(self.medium_confidence_threshold),
            Mode::HighConfidence => {
                Some(self.thresholds.get(label).copied().unwrap_or(self.medium_confidence_threshold))
            }
        }
    }
}
