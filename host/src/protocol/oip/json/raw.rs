//! The decoder of bodies without JSON, which are a single tensor. Its datatype and shape come from the model's declaration.

use bytes::Bytes;

use crate::codec::error::DecodeError;
use crate::inference::InferRequest;
use crate::tensor::{Signature, Tensor, TensorSpec};

/// The way in which a client sent a body without JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A content type other than JSON, such as that of a picture, a text or a file.
    Plain,
    /// The binary extension, which also requests the outputs as bytes.
    Binary,
}

/// Decodes a request.
pub fn decode_raw(raw: Raw, body: &Bytes, signature: &Signature) -> Result<InferRequest, DecodeError> {
    let not_raw = || {
        let inputs: Vec<String> = signature.inputs.iter().map(TensorSpec::describe).collect();
        let inputs = inputs.join(", ");
        if raw == Raw::Plain { DecodeError::NotBytes { inputs } } else { DecodeError::NotRaw { inputs } }
    };
    let [input] = &signature.inputs[..] else { return Err(not_raw()) };
    let (shape, data) = match input.datatype.width() {
        // A single element, for any number of dimensions.
        None => (vec![1; input.shape.len()], Tensor::byte_string(body).data().clone()),
        Some(width) if raw == Raw::Binary => (shape_of(input, width, body.len(), not_raw)?, body.clone()),
        Some(_) => return Err(not_raw()),
    };
    let tensor = Tensor::new(input.datatype, shape, data);
    let tensor = tensor.map_err(|error| DecodeError::Tensor { input: input.name.to_string(), error })?;
    let inputs = vec![(input.name.clone(), tensor)];
    Ok(InferRequest { inputs, binary_output: raw == Raw::Binary, ..InferRequest::default() })
}

/// The shape of a body of `bytes` bytes. At most one dimension may vary; its size follows from the number of bytes.
fn shape_of(
    input: &TensorSpec,
    width: u64,
    bytes: usize,
    not_raw: impl Fn() -> DecodeError,
) -> Result<Vec<u64>, DecodeError> {
    let open = input.shape.iter().filter(|dimension| **dimension < 0).count();
    if open > 1 {
        return Err(not_raw());
    }
    let known = input.shape.iter().filter_map(|dimension| u64::try_from(*dimension).ok());
    let row = known.fold(width, u64::saturating_mul);
    let rows = (bytes as u64).checked_div(row).unwrap_or(0);
    if open == 1 && rows.saturating_mul(row) != bytes as u64 {
        return Err(DecodeError::RawRows { bytes, input: input.describe(), row });
    }
    Ok(input.shape.iter().map(|dimension| u64::try_from(*dimension).unwrap_or(rows)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Datatype;

    fn decode(datatype: Datatype, shape: &[i64], raw: Raw, body: &'static [u8]) -> Result<InferRequest, DecodeError> {
        let input = TensorSpec { name: "x".into(), datatype, shape: shape.to_vec() };
        let signature = Signature { inputs: vec![input], outputs: vec![] };
        decode_raw(raw, &Bytes::from_static(body), &signature)
    }

    #[test]
    fn one_open_dimension_follows_from_the_size() {
        let shape = |shape: &[i64], body| {
            decode(Datatype::Fp32, shape, Raw::Binary, body).map(|r| r.inputs[0].1.shape().to_vec())
        };
        assert_eq!(shape(&[-1, 2], &[0; 24]).unwrap(), [3, 2]);
        assert_eq!(shape(&[2], &[0; 8]).unwrap(), [2]);
        assert_eq!(shape(&[], &[0; 4]).unwrap(), [0u64; 0]);
        assert_eq!(shape(&[-1], &[]).unwrap(), [0]);
        assert!(matches!(shape(&[-1, 2], &[0; 12]), Err(DecodeError::RawRows { row: 8, .. })));
        assert!(matches!(shape(&[-1, -1], &[0; 8]), Err(DecodeError::NotRaw { .. })));
        assert!(matches!(shape(&[3], &[0; 8]), Err(DecodeError::Tensor { .. })));
        assert!(matches!(shape(&[-1, 0], &[0; 8]), Err(DecodeError::RawRows { .. })));
        assert!(matches!(decode(Datatype::Fp32, &[-1], Raw::Plain, &[0; 8]), Err(DecodeError::NotBytes { .. })));
    }

    #[test]
    fn bytes_are_one_element_and_only_the_extension_wants_bytes_back() {
        for (raw, binary) in [(Raw::Plain, false), (Raw::Binary, true)] {
            let request = decode(Datatype::Bytes, &[-1, 1], raw, b"hi").unwrap();
            assert_eq!(request.inputs[0].1.data(), &b"\x02\0\0\0hi"[..]);
            assert_eq!((request.inputs[0].1.shape(), request.binary_output), (&[1, 1][..], binary));
        }
    }
}
