//! The decoder of classification and regression requests: lists of examples, each an object of features. The examples
//! become the rows of inputs with one or two dimensions, so that only models with such inputs can take them.

use super::proto::wrong;
use super::rows::{Columns, Opened, Row, each, each_entry, open};
use super::signature::check_signature;
use crate::codec::error::DecodeError;
use crate::inference::InferRequest;
use crate::tensor::TensorSpec;

/// Decodes a request of at most `bound` bytes of tensors. `signature` is the method name of the call, which clients may
/// send as the name of its signature.
pub fn decode(json: &[u8], specs: &[TensorSpec], signature: &str, bound: u64) -> Result<InferRequest, DecodeError> {
    // The context holds features that all examples share.
    let Opened { signature: name, parameters, texts: [context, examples] } = open(json, ["context", "examples"])?;
    check_signature(&name, signature)?;
    let Some(examples) = examples else {
        return Err(wrong("key 'examples' is expected and was not found".into()));
    };
    let context = context.unwrap_or("{}");
    let mut columns = Columns::new(specs, bound);
    each_entry(context, |name, value| columns.add_common(name, value))?;
    let mut empty = true;
    each(examples, |example| {
        empty = false;
        columns.add_row(example, Row::Features)
    })?;
    if empty {
        return Err(wrong("'examples' value is an empty array".into()));
    }
    Ok(InferRequest { inputs: columns.finish()?, parameters, ..InferRequest::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Datatype;

    fn specs() -> [TensorSpec; 2] {
        let spec = |name: &str, datatype| TensorSpec { name: name.into(), datatype, shape: vec![-1, -1] };
        [spec("x", Datatype::Fp32), spec("y", Datatype::Int8)]
    }

    fn read(json: &str, bound: u64) -> Result<InferRequest, String> {
        decode(json.as_bytes(), &specs(), "", bound).map_err(|error| error.to_string())
    }

    #[test]
    fn the_context_is_added_to_every_row() {
        let request = read(r#"{"context": {"y": [3, 4]}, "examples": [{"x": 1}, {"x": [2]}]}"#, 100).unwrap();
        let shapes = [0, 1].map(|at| request.inputs[at].1.shape().to_vec());
        assert_eq!(shapes, [[2, 1], [2, 2]]);
        assert_eq!(request.inputs[1].1.data(), &[3, 4, 3, 4][..]);
        for (json, wanted) in [
            (r#"{"context": {"y": 1}, "examples": [{"x": 1, "y": 2}]}"#, "item 0: \"y\" appears twice"),
            (r#"{"context": {"y": 1, "y": 2}, "examples": [{"x": 1}]}"#, "'context' has \"y\" twice"),
            (r#"{"context": {"z": 1}, "examples": [{"x": 1}]}"#, "does not have named input: z"),
            (r#"{"context": {"y": [1, 2, 3, 4]}, "examples": [{"x": 1}, {"x": 1}, {"x": 1}]}"#, "more than 20 B"),
        ] {
            let error = read(json, 20).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }

    /// If the context were read again for each row, this would take minutes.
    #[test]
    fn a_long_context_of_many_rows_is_read_once() {
        let rows = vec![r#"{"x": []}"#; 200_000].join(",");
        let context = " ".repeat(2_000_000);
        let json = format!(r#"{{"context": {{"y": [{context}]}}, "examples": [{rows}]}}"#);
        assert_eq!(read(&json, 1 << 20).unwrap().inputs[1].1.shape(), [200_000, 0]);
    }
}
