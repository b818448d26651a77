//! A generator. `x` is the number of responses, and optionally the number of elements of each (1 by default); every element
//! of the first response is 0, of the second 1, and so on. The configuration names what it does after them.

#![expect(clippy::panic, reason = "these are misdeeds")]

use bulkhead_guest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    then: Then,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Then {
    #[default]
    End,
    /// Emits further responses without end, even if the client has left.
    GoOn,
    /// Computes without end and emits nothing.
    Spin,
    Fail,
    Panic,
    /// Emits one more response, which does not fit the signature.
    WrongShape,
    OtherOutput,
    NoOutput,
}

pub struct Streamer(Then);

impl Generator for Streamer {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        Ok(Streamer(config.then))
    }

    fn signature(&self) -> Signature {
        let shape = if self.0 == Then::WrongShape { 1 } else { -1 };
        Signature::new().input("x", Datatype::Fp32, [-1]).output("y", Datatype::Fp32, [shape])
    }

    fn generate(&self, inputs: Inputs, _: &Parameters, emitter: &Emitter) -> Result<(), Failure> {
        let x = inputs.get("x")?.view::<f32>()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
        let whole = |at: usize, default: usize| x.get(at).map_or(default, |value| *value as usize);
        let (wanted, size) = (whole(0, 0), whole(1, 1));
        for number in 0..wanted {
            emitter.emit(answer("y", number, size)?)?;
        }
        match self.0 {
            Then::End => {}
            Then::GoOn => loop {
                let _ = emitter.emit(answer("y", wanted, size)?);
            },
            // Filling memory is charged by its length, so the fuel limit is reached long before the time limit.
            Then::Spin => {
                let mut memory = vec![0u8; 64 << 10];
                loop {
                    memory.fill(1);
                    std::hint::black_box(&mut memory);
                }
            }
            Then::Fail => return Err(Failure::invalid_input("there is no more")),
            Then::Panic => panic!("after {wanted} answers"),
            Then::WrongShape => emitter.emit(answer("y", wanted, 3)?)?,
            Then::OtherOutput => emitter.emit(answer("z", wanted, size)?)?,
            Then::NoOutput => emitter.emit(Outputs::new())?,
        }
        Ok(())
    }
}

fn answer(name: &str, number: usize, size: usize) -> Result<Outputs, Failure> {
    Ok(Outputs::new().with(name, Tensor::new(&[size as u64], &vec![number as f32; size])?))
}

bulkhead_guest::generator!(Streamer);

#[cfg(test)]
mod tests {
    use bulkhead_guest::testing;

    use super::*;

    fn run(then: Then, x: &[f32], emitter: &Emitter) -> Result<(), Failure> {
        let inputs = Inputs::from([("x", Tensor::new(&[x.len() as u64], x).unwrap())]);
        Streamer(then).generate(inputs, &Parameters::default(), emitter)
    }

    #[test]
    fn answers_as_often_as_it_is_asked_to() {
        run(Then::End, &[3.0, 2.0], &testing::emitter()).unwrap();
        let answers = testing::take_answers();
        let last = answers.last().unwrap().get("y").unwrap().view::<f32>().unwrap().to_vec();
        assert_eq!((answers.len(), last), (3, vec![2.0, 2.0]));
    }

    #[test]
    fn ends_where_nobody_wants_more() {
        let failure = run(Then::Fail, &[5.0], &testing::emitter_that_wants(2)).unwrap_err();
        assert!(matches!(failure, Failure::Unavailable(_)), "{failure:?}");
        assert_eq!(testing::take_answers().len(), 2);
    }
}
