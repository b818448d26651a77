//! Inputs and outputs of a stage.

use crate::{Datatype, Tensor, TensorError};

/// A declared input or output; -1 is a dimension that varies from call to call.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    pub name: String,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
}

/// The declared inputs and outputs of a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input; -1 in `shape` is a dimension that varies.
    pub fn input(mut self, name: impl Into<String>, datatype: Datatype, shape: impl Into<Vec<i64>>) -> Self {
        self.inputs.push(TensorSpec { name: name.into(), datatype, shape: shape.into() });
        self
    }

    /// Adds an output; -1 in `shape` is a dimension that varies.
    pub fn output(mut self, name: impl Into<String>, datatype: Datatype, shape: impl Into<Vec<i64>>) -> Self {
        self.outputs.push(TensorSpec { name: name.into(), datatype, shape: shape.into() });
        self
    }
}

/// The reason why a call has no result. The variant decides which status and text the client gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The client can correct it. The text is sent to the client, and says how.
    InvalidInput(String),
    /// A temporary condition: the client may try again later.
    Unavailable(String),
    /// An error of the plugin. The text goes to the log only.
    Internal(String),
}

impl Failure {
    pub fn invalid_input(text: impl Into<String>) -> Self {
        Failure::InvalidInput(text.into())
    }

    pub fn unavailable(text: impl Into<String>) -> Self {
        Failure::Unavailable(text.into())
    }

    pub fn internal(text: impl Into<String>) -> Self {
        Failure::Internal(text.into())
    }
}

impl From<TensorError> for Failure {
    fn from(error: TensorError) -> Self {
        Failure::Internal(error.0)
    }
}

/// The named tensors of a call.
#[derive(Debug, Default)]
pub struct Inputs(pub(crate) Vec<(String, Tensor)>);

impl Inputs {
    /// The input of this name. All inputs of the signature are there: an error means that the name is not in it.
    pub fn get(&self, name: &str) -> Result<&Tensor, Failure> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, t)| t).ok_or_else(|| missing(name))
    }

    /// Takes the input out, to hand it on as an output without a copy.
    pub fn take(&mut self, name: &str) -> Result<Tensor, Failure> {
        let at = self.0.iter().position(|(n, _)| n == name).ok_or_else(|| missing(name))?;
        Ok(self.0.swap_remove(at).1)
    }
}

impl<N: Into<String>, const COUNT: usize> From<[(N, Tensor); COUNT]> for Inputs {
    fn from(tensors: [(N, Tensor); COUNT]) -> Self {
        Inputs(tensors.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect())
    }
}

fn missing(name: &str) -> Failure {
    Failure::Internal(format!("the signature has no input \"{name}\""))
}

/// The named tensors of a result.
#[derive(Debug, Default)]
pub struct Outputs(pub(crate) Vec<(String, Tensor)>);

impl Outputs {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: impl Into<String>, tensor: Tensor) -> Self {
        self.0.push((name.into(), tensor));
        self
    }

    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// Takes an output of a graph out, to hand it on without a copy.
    pub fn take(&mut self, name: &str) -> Result<Tensor, Failure> {
        let at = self.0.iter().position(|(n, _)| n == name);
        let at = at.ok_or_else(|| Failure::Internal(format!("there is no output \"{name}\"")))?;
        Ok(self.0.swap_remove(at).1)
    }
}

/// The value of a request parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// The `parameters` of the client's request.
#[derive(Clone, Debug, Default)]
pub struct Parameters(pub(crate) Vec<(String, Value)>);

impl Parameters {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// A whole number, or an error that tells the client which type is expected. `5.0` is 5, because many clients have only
    /// one type of numbers.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Integer(v)) => Ok(Some(*v)),
            Some(other @ Value::Number(v)) => {
                whole(*v).map(Some).ok_or_else(|| unexpected(name, "a whole number", other))
            }
            Some(other) => Err(unexpected(name, "a whole number", other)),
        }
    }

    /// A number, whole or not, or an error that tells the client which type is expected.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Integer(v)) => Ok(Some(*v as f64)),
            Some(Value::Number(v)) => Ok(Some(*v)),
            Some(other) => Err(unexpected(name, "a number", other)),
        }
    }
}

impl<N: Into<String>, const COUNT: usize> From<[(N, Value); COUNT]> for Parameters {
    fn from(values: [(N, Value); COUNT]) -> Self {
        Parameters(values.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// A number without a fraction that an `i64` can hold.
#[expect(clippy::cast_possible_truncation, reason = "it has no fraction, and is in the range")]
fn whole(number: f64) -> Option<i64> {
    // -2^63 is an `i64`, and 2^63 is the first number above them.
    let fits = number.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&number);
    fits.then_some(number as i64)
}

fn unexpected(name: &str, wanted: &str, got: &Value) -> Failure {
    let got = match got {
        Value::Boolean(got) => got.to_string(),
        Value::Integer(got) => got.to_string(),
        // With its point, as clients have written it.
        Value::Number(got) => format!("{got:?}"),
        Value::Text(got) => format!("the text \"{got}\""),
    };
    Failure::InvalidInput(format!("parameter \"{name}\" must be {wanted}, not {got}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_fraction_is_a_whole_number() {
        let read = |value: Value| Parameters::from([("k", value)]).integer("k");
        assert_eq!(read(Value::Number(5.0)).ok(), Some(Some(5)));
        assert_eq!(read(Value::Number(-(2f64.powi(63)))).ok(), Some(Some(i64::MIN)));
        for (value, shown) in [(5.5, "5.5"), (2f64.powi(63), "9.223372036854776e18"), (f64::NAN, "NaN")] {
            let Err(Failure::InvalidInput(text)) = read(Value::Number(value)) else { panic!("{value} was read") };
            assert_eq!(text, format!("parameter \"k\" must be a whole number, not {shown}"));
        }
    }
}
