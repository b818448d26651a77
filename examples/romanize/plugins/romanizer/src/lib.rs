//! Transliterates a name from Arabic into Latin letters. One network encodes the word, and another one generates letter
//! after letter from the previous letter and a state, as language models do on a larger scale. Each letter is sent to the
//! client as soon as it is chosen.

use std::collections::BTreeMap;

use bulkhead_guest::{assets, graphs::Graph, prelude::*};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Path of the vocabulary asset.
    vocabulary: String,
    /// Upper bound on the letters of a generated word.
    longest: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { vocabulary: "vocab.json".into(), longest: 32 }
    }
}

/// The part of the vocabulary file that the plugin reads.
#[derive(Deserialize)]
struct Vocabulary {
    tokens: Vec<String>,
}

pub struct Romanizer {
    tokens: Vec<String>,
    ids: BTreeMap<String, i64>,
    longest: usize,
}

// Ids that every vocabulary of this kind begins with.
const PAD: i64 = 0;
const BEGIN: i64 = 1;
const END: i64 = 2;
const UNKNOWN: i64 = 3;

/// Upper bound on the letters of an input, longer than any name.
const MOST_LETTERS: usize = 256;

impl Generator for Romanizer {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        let Vocabulary { tokens } = assets::read_json(&config.vocabulary)?;
        let ids = tokens.iter().cloned().zip(0..).collect();
        Ok(Romanizer { tokens, ids, longest: config.longest })
    }

    fn signature(&self) -> Signature {
        Signature::new().input("name", Datatype::Bytes, [1]).output("text", Datatype::Bytes, [1]).output(
            "log_probability",
            Datatype::Fp32,
            [1],
        )
    }

    fn generate(&self, inputs: Inputs, parameters: &Parameters, emitter: &Emitter) -> Result<(), Failure> {
        let name = String::from_utf8(inputs.get("name")?.byte_string()?);
        let name = name.map_err(|_| Failure::invalid_input("input \"name\" must be UTF-8"))?;
        let letters = name.chars().count();
        if letters > MOST_LETTERS {
            let text = format!("input \"name\" has {letters} letters, and {MOST_LETTERS} are the most");
            return Err(Failure::invalid_input(text));
        }
        let hints = self.hints(parameters)?;
        for (number, word) in name.split_whitespace().enumerate() {
            if number > 0 {
                emit(emitter, " ", 0.0)?;
            }
            self.romanize(&hints, word, emitter)?;
        }
        Ok(())
    }
}

impl Romanizer {
    /// The tokens before a word: the country of the name's bearer, and the kind of name.
    fn hints(&self, parameters: &Parameters) -> Result<Vec<i64>, Failure> {
        let country = match text(parameters, "country")? {
            Some(country) => format!("<{}>", country.to_uppercase()),
            None => "<UNK_COUNTRY>".into(),
        };
        let role = match text(parameters, "role")? {
            None => "<ROLE_UNKNOWN>",
            Some("given") => "<ROLE_GIVEN>",
            Some("surname") => "<ROLE_SURNAME>",
            Some(other) => {
                let text = format!("parameter \"role\" must be given or surname, not {other:?}");
                return Err(Failure::invalid_input(text));
            }
        };
        Ok(vec![self.id(&country), self.id(role)])
    }

    fn id(&self, token: &str) -> i64 {
        self.ids.get(token).copied().unwrap_or(UNKNOWN)
    }

    fn romanize(&self, hints: &[i64], word: &str, emitter: &Emitter) -> Result<(), Failure> {
        let letters = word.chars().map(|letter| self.id(letter.encode_utf8(&mut [0; 4])));
        let source: Vec<i64> = hints.iter().copied().chain(letters).chain([END]).collect();
        let mut decoder = Decoder::read(&source)?;
        let mut last = BEGIN;
        for step in 0..self.longest {
            let log_probabilities = decoder.step(last)?;
            // The first token cannot end the word, because a word is never empty.
            let never = if step == 0 { &[PAD, END][..] } else { &[PAD] };
            let (id, log_probability) = best(&log_probabilities, never)?;
            if id == END {
                break;
            }
            let token = usize::try_from(id).ok().and_then(|at| self.tokens.get(at));
            if let Some(token) = token.filter(|token| id > UNKNOWN && !token.starts_with('<')) {
                emit(emitter, token, log_probability)?;
            }
            last = id;
        }
        Ok(())
    }
}

fn text<'a>(parameters: &'a Parameters, name: &str) -> Result<Option<&'a str>, Failure> {
    match parameters.get(name) {
        None => Ok(None),
        Some(bulkhead_guest::Value::Text(text)) => Ok(Some(text)),
        Some(other) => Err(Failure::invalid_input(format!("parameter \"{name}\" must be a text, not {other:?}"))),
    }
}

fn emit(emitter: &Emitter, text: &str, log_probability: f32) -> Result<(), Failure> {
    let outputs = Outputs::new()
        .with("text", Tensor::bytes(&[1], &[text])?)
        .with("log_probability", Tensor::new(&[1], &[log_probability])?);
    Ok(emitter.emit(outputs)?)
}

/// The decoder network, and its state for the current word.
struct Decoder {
    graph: Graph,
    memory: Tensor,
    mask: Tensor,
    hidden: Tensor,
}

impl Decoder {
    fn read(source: &[i64]) -> Result<Decoder, Failure> {
        let shape = [1, source.len() as u64];
        let inputs = Inputs::from([
            ("src", Tensor::new(&shape, source)?),
            ("src_mask", Tensor::bools(&shape, &vec![false; source.len()])?),
        ]);
        let mut read = Graph::open("encoder")?.run(inputs)?;
        let (memory, mask, hidden) = (read.take("memory_out")?, read.take("src_mask_out")?, read.take("hidden_out")?);
        Ok(Decoder { graph: Graph::open("decoder")?, memory, mask, hidden })
    }

    /// Feeds one token and returns the logarithm of each next token's probability.
    fn step(&mut self, last: i64) -> Result<Vec<f32>, Failure> {
        let inputs = Inputs::from([
            ("prefix", Tensor::new(&[1, 1], &[last])?),
            ("memory", again(&self.memory)?),
            ("src_mask", again(&self.mask)?),
            ("hidden", again(&self.hidden)?),
        ]);
        let mut answer = self.graph.run(inputs)?;
        self.hidden = answer.take("hidden_out")?;
        Ok(answer.take("logprobs")?.view::<f32>()?.to_vec())
    }
}

/// Another handle of the same tensor, without a copy.
fn again(tensor: &Tensor) -> Result<Tensor, Failure> {
    Ok(tensor.reshape(tensor.shape())?)
}

fn best(log_probabilities: &[f32], never: &[i64]) -> Result<(i64, f32), Failure> {
    let tokens = (0..).zip(log_probabilities.iter().copied()).filter(|(id, _)| !never.contains(id));
    let best = tokens.max_by(|a, b| a.1.total_cmp(&b.1));
    best.ok_or_else(|| Failure::internal("graph \"decoder\" gave no usable token"))
}

bulkhead_guest::generator!(Romanizer);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bulkhead_guest::testing;

    use super::*;

    const TOKENS: [&str; 9] = ["<PAD>", "<BOS>", "<EOS>", "<UNK>", "<UNK_COUNTRY>", "<EG>", "<ROLE_UNKNOWN>", "ا", "a"];

    /// A plugin with mock networks that write as many letters as they read.
    fn romanizer() -> Romanizer {
        testing::asset("vocab.json", serde_json::json!({ "tokens": TOKENS }).to_string());
        let read = std::rc::Rc::new(Cell::new(0));
        let asked = read.clone();
        testing::graph("encoder", move |mut inputs| {
            let source = inputs.take("src").unwrap().view::<i64>().unwrap().to_vec();
            read.set(source.len() - 3);
            let (memory, hidden) = (Tensor::new(&[1, 1], &[source[0]]).unwrap(), Tensor::new(&[1], &[0.0f32]).unwrap());
            let mask = inputs.take("src_mask").unwrap();
            Ok(Outputs::new().with("memory_out", memory).with("src_mask_out", mask).with("hidden_out", hidden))
        });
        testing::graph("decoder", move |mut inputs| {
            let done = inputs.take("hidden").unwrap().view::<f32>().unwrap()[0];
            let mut scores = [-9.0f32; TOKENS.len()];
            scores[if done < asked.get() as f32 { 8 } else { usize::try_from(END).unwrap() }] = -0.5;
            let hidden = Tensor::new(&[1], &[done + 1.0]).unwrap();
            let scores = Tensor::new(&[1, scores.len() as u64], &scores).unwrap();
            Ok(Outputs::new().with("logprobs", scores).with("hidden_out", hidden))
        });
        Romanizer::init(Config::default()).unwrap()
    }

    fn run(name: &str, parameters: Parameters) -> Result<String, Failure> {
        let inputs = Inputs::from([("name", Tensor::bytes(&[1], &[name]).unwrap())]);
        romanizer().generate(inputs, &parameters, &testing::emitter())?;
        let text = |answer: &Outputs| String::from_utf8(answer.get("text").unwrap().byte_string().unwrap()).unwrap();
        Ok(testing::take_answers().iter().map(text).collect())
    }

    #[test]
    fn writes_letter_after_letter_and_word_after_word() {
        assert_eq!(run("ااا  اا", Parameters::default()).unwrap(), "aaa aa");
        assert_eq!(run("", Parameters::default()).unwrap(), "");
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        let parameter = |value: &str| Parameters::from([("role", bulkhead_guest::Value::Text(value.into()))]);
        assert!(matches!(run("ا", parameter("father")), Err(Failure::InvalidInput(text)) if text.contains("father")));
        assert!(matches!(run(&"ا".repeat(257), Parameters::default()), Err(Failure::InvalidInput(_))));
    }
}
