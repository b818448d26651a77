//! Declarations of inputs and outputs, and the checks that a tensor or another declaration fits them.

use std::sync::Arc;

use super::{Datatype, NamedTensors, Tensor};

/// A declared input or output; -1 is a dimension that varies from call to call.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    pub name: Arc<str>,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
}

/// The declared inputs and outputs of a stage or a pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

/// A difference between tensors and their declarations. The texts name the tensor, its value and the declared one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecMismatch {
    #[error("tensor \"{name}\" is missing; wanted: {wanted}")]
    Missing { name: Arc<str>, wanted: String },
    #[error("there is no tensor \"{name}\"; the known tensors are: {known}")]
    Unknown { name: Arc<str>, known: String },
    #[error("tensor \"{name}\" is given twice")]
    Twice { name: Arc<str> },
    #[error("tensor \"{name}\" has datatype {got}, and {wanted} is wanted")]
    Datatype { name: Arc<str>, got: Datatype, wanted: Datatype },
    #[error("tensor \"{name}\" has shape {got}, and {wanted} is wanted (-1 is any size)")]
    Shape { name: Arc<str>, got: String, wanted: String },
    #[error(
        "tensor \"{name}\" has shape {shape:?}, whose dimensions other than zero span {bytes} bytes, and a call may hold {bound} (call-memory)"
    )]
    Extent { name: Arc<str>, shape: Vec<u64>, bytes: u64, bound: u64 },
}

impl Signature {
    /// True if clients may send several rows at once. A first dimension that varies and has others after it is taken for
    /// the batch if every input and output has one.
    pub fn is_batched(&self) -> bool {
        let mut all = self.inputs.iter().chain(&self.outputs);
        !self.inputs.is_empty() && all.all(TensorSpec::is_batched)
    }

    /// The number of rows in inputs that fit the signature; 1 if there is no batch.
    pub fn rows(&self, inputs: &NamedTensors) -> u64 {
        let first = inputs.first().filter(|_| self.is_batched());
        first.and_then(|(_, tensor)| tensor.shape().first().copied()).unwrap_or(1)
    }
}

impl TensorSpec {
    /// True if the first dimension is taken for the batch.
    pub fn is_batched(&self) -> bool {
        matches!(self.shape[..], [first, _, ..] if first < 0)
    }

    pub fn describe(&self) -> String {
        format!("{} {}{:?}", self.name, self.datatype, self.shape)
    }

    pub fn check(&self, tensor: &Tensor) -> Result<(), SpecMismatch> {
        let shape = tensor.shape();
        let fits = shape.len() == self.shape.len()
            && shape.iter().zip(&self.shape).all(|(got, wanted)| *wanted < 0 || *got == wanted.cast_unsigned());
        self.compare(tensor.datatype(), fits, || format!("{shape:?}"))
    }

    /// Checks that tensors of the declaration `given` can fit this one. A dimension that varies in either declaration is
    /// compared later, when the tensors of a call are known.
    pub fn accepts(&self, given: &TensorSpec) -> Result<(), SpecMismatch> {
        let fits = given.shape.len() == self.shape.len()
            && given.shape.iter().zip(&self.shape).all(|(got, wanted)| *wanted < 0 || *got < 0 || got == wanted);
        self.compare(given.datatype, fits, || format!("{:?}", given.shape))
    }

    fn compare(&self, datatype: Datatype, shape_fits: bool, shape: impl Fn() -> String) -> Result<(), SpecMismatch> {
        let name = self.name.clone();
        if datatype != self.datatype {
            return Err(SpecMismatch::Datatype { name, got: datatype, wanted: self.datatype });
        }
        if !shape_fits {
            return Err(SpecMismatch::Shape { name, got: shape(), wanted: format!("{:?}", self.shape) });
        }
        Ok(())
    }
}

/// Puts tensors into the order of their declarations. Fails unless each is given once and fits, and no other is given.
pub fn bind_tensors(specs: &[TensorSpec], mut tensors: NamedTensors) -> Result<NamedTensors, SpecMismatch> {
    let mut arranged = Vec::with_capacity(specs.len());
    for spec in specs {
        let Some(at) = tensors.iter().position(|(name, _)| *name == spec.name) else {
            return Err(SpecMismatch::Missing { name: spec.name.clone(), wanted: spec.describe() });
        };
        let (_, tensor) = tensors.swap_remove(at);
        spec.check(&tensor)?;
        arranged.push((spec.name.clone(), tensor));
    }
    match tensors.into_iter().next() {
        None => Ok(arranged),
        Some((name, _)) if specs.iter().any(|spec| spec.name == name) => Err(SpecMismatch::Twice { name }),
        Some((name, _)) => Err(SpecMismatch::Unknown { name, known: names(specs) }),
    }
}

/// Refuses an empty tensor whose other dimensions span more than a call may hold, because an operator may loop over them.
pub fn check_extents(tensors: &NamedTensors, bound: u64) -> Result<(), SpecMismatch> {
    for (name, tensor) in tensors {
        let bytes = tensor.extent_bytes();
        if tensor.data().is_empty() && bytes > bound {
            return Err(SpecMismatch::Extent { name: name.clone(), shape: tensor.shape().to_vec(), bytes, bound });
        }
    }
    Ok(())
}

/// The quoted names of declared tensors, for a message.
pub fn names(specs: &[TensorSpec]) -> String {
    let quoted: Vec<String> = specs.iter().map(|spec| format!("\"{}\"", spec.name)).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.into(), datatype, shape: shape.to_vec() }
    }

    fn fp32(name: &str, shape: &[u64]) -> (Arc<str>, Tensor) {
        let bytes = vec![0; crate::numbers::to_usize(shape.iter().product::<u64>() * 4)];
        (name.into(), Tensor::new(Datatype::Fp32, shape.to_vec(), bytes.into()).unwrap())
    }

    #[test]
    fn arranges_by_declaration() {
        let specs = [spec("a", Datatype::Fp32, &[-1, 2]), spec("b", Datatype::Fp32, &[])];
        let arranged = bind_tensors(&specs, vec![fp32("b", &[]), fp32("a", &[3, 2])]).unwrap();
        assert_eq!(arranged.iter().map(|(n, _)| &**n).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn mismatches_are_named() {
        let specs = [spec("a", Datatype::Fp32, &[-1, 2])];
        let text = |tensors| bind_tensors(&specs, tensors).unwrap_err().to_string();
        assert_eq!(text(vec![]), "tensor \"a\" is missing; wanted: a FP32[-1, 2]");
        assert_eq!(text(vec![fp32("a", &[2])]), "tensor \"a\" has shape [2], and [-1, 2] is wanted (-1 is any size)");
        let unknown = text(vec![fp32("a", &[1, 2]), fp32("c", &[])]);
        assert_eq!(unknown, "there is no tensor \"c\"; the known tensors are: \"a\"");
        assert_eq!(text(vec![fp32("a", &[1, 2]), fp32("a", &[1, 2])]), "tensor \"a\" is given twice");
        let bytes = vec![("a".into(), Tensor::byte_string(b"x"))];
        assert_eq!(text(bytes), "tensor \"a\" has datatype BYTES, and FP32 is wanted");
    }

    #[test]
    fn a_batch_has_rows_in_every_tensor() {
        let of = |inputs: &[i64], outputs: &[i64]| Signature {
            inputs: vec![spec("x", Datatype::Fp32, inputs)],
            outputs: vec![spec("y", Datatype::Fp32, outputs)],
        };
        assert!(of(&[-1, 3], &[-1, -1]).is_batched());
        assert!(!of(&[-1, 3], &[-1]).is_batched());
        assert!(!of(&[-1, 3], &[1, 3]).is_batched());
        assert!(!Signature::default().is_batched());
    }

    #[test]
    fn declarations_are_compared_where_dimensions_are_fixed() {
        let wanted = spec("x", Datatype::Fp32, &[-1, 3, 8]);
        assert!(wanted.accepts(&spec("x", Datatype::Fp32, &[1, -1, 8])).is_ok());
        assert!(wanted.accepts(&spec("x", Datatype::Fp32, &[1, 3, 9])).is_err());
        assert!(wanted.accepts(&spec("x", Datatype::Fp32, &[3, 8])).is_err());
        assert!(wanted.accepts(&spec("x", Datatype::Fp64, &[-1, 3, 8])).is_err());
    }
}
