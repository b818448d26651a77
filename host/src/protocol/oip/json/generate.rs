//! The decoder of `generate` requests, which are plain objects whose fields are the model's inputs and parameters.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::parameter::Scalar;
use crate::codec::error::DecodeError;
use crate::codec::json::elements;
use crate::codec::json::scanner::JsonScanner;
use crate::inference::InferRequest;
use crate::sandbox::Parameters;
use crate::tensor::{Signature, Tensor, TensorSpec};

/// Decodes a request. A field with the name of an input is that tensor: one value, or an array of values. `id` and
/// `parameters` have the same meaning as in other requests, and every other field is a parameter.
pub fn decode_generate(json: &[u8], signature: &Signature) -> Result<InferRequest, DecodeError> {
    let mut scanner = JsonScanner::new(json);
    let mut fields = BTreeMap::new();
    scanner.object(|scanner, name| {
        fields.insert(name.to_owned(), scanner.raw()?);
        Ok(())
    })?;
    scanner.end()?;
    let mut request = InferRequest::default();
    for (name, value) in fields {
        if let Some(spec) = signature.inputs.iter().find(|spec| *spec.name == *name) {
            request.inputs.push((spec.name.clone(), tensor(spec, value)?));
            continue;
        }
        let field = |error| DecodeError::Field { field: name.clone(), error };
        match name.as_str() {
            "id" => request.id = serde_json::from_str(value).map_err(field)?,
            "parameters" => request.parameters.extend(parameters(value).map_err(field)?),
            _ => {
                let Scalar(value) = serde_json::from_str(value).map_err(field)?;
                request.parameters.push((name, value));
            }
        }
    }
    Ok(request)
}

fn parameters(value: &str) -> Result<Parameters, serde_json::Error> {
    let parameters: Option<BTreeMap<String, Scalar>> = serde_json::from_str(value)?;
    Ok(parameters.into_iter().flatten().map(|(name, Scalar(value))| (name, value)).collect())
}

fn tensor(spec: &TensorSpec, value: &str) -> Result<Tensor, DecodeError> {
    let input = || spec.name.to_string();
    let elements = elements::parse_all(spec.datatype, None, value);
    let elements::Parsed { bytes, count, .. } =
        elements.map_err(|problem| DecodeError::Data { input: input(), problem })?;
    let shape = shape(spec, count).ok_or_else(|| DecodeError::NoShape { input: spec.describe(), count })?;
    let tensor = Tensor::new(spec.datatype, shape, Bytes::from(bytes));
    tensor.map_err(|error| DecodeError::Tensor { input: input(), error })
}

/// The shape of `count` elements: dimensions that vary are 1, except for the innermost of them, which takes the rest.
/// `None` if the elements do not fit.
fn shape(spec: &TensorSpec, count: u64) -> Option<Vec<u64>> {
    let known = spec.shape.iter().filter_map(|dimension| u64::try_from(*dimension).ok());
    let known = known.fold(1, u64::saturating_mul);
    let innermost = spec.shape.iter().rposition(|dimension| *dimension < 0);
    let left = match (count.checked_rem(known), innermost) {
        (Some(0), Some(_)) => count / known,
        (_, None) if count == known => 1,
        _ => return None,
    };
    let size = |(at, dimension): (usize, &i64)| match u64::try_from(*dimension) {
        Ok(known) => known,
        Err(_) if Some(at) == innermost => left,
        Err(_) => 1,
    };
    Some(spec.shape.iter().enumerate().map(size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::ParameterValue;
    use crate::tensor::Datatype;

    fn signature() -> Signature {
        let spec =
            |name: &str, datatype, shape: &[i64]| TensorSpec { name: name.into(), datatype, shape: shape.to_vec() };
        let text = spec("text_input", Datatype::Bytes, &[1]);
        Signature { inputs: vec![text, spec("rows", Datatype::Fp32, &[-1, -1, 2])], outputs: vec![] }
    }

    #[test]
    fn fields_are_inputs_or_parameters() {
        let json =
            br#"{"id": "42", "text_input": "hi", "rows": [1, 2, 3, 4], "stream": false, "parameters": {"t": 0.5}}"#;
        let request = decode_generate(json, &signature()).unwrap();
        assert_eq!(request.id.as_deref(), Some("42"));
        assert_eq!(request.inputs[0].1.shape(), [1, 2, 2]);
        assert_eq!(request.inputs[1].1.data(), &b"\x02\0\0\0hi"[..]);
        let t = ("t".to_owned(), ParameterValue::Number(0.5));
        assert_eq!(request.parameters, [t, ("stream".to_owned(), ParameterValue::Boolean(false))]);
    }

    #[test]
    fn fields_that_do_not_fit_are_refused() {
        for (json, wanted) in [
            (r#"{"rows": [1, 2, 3]}"#, "3 elements"),
            (r#"{"text_input": ["a", "b"]}"#, "2 elements"),
            (r#"{"text_input": 7}"#, "must be a text"),
            (r#"{"other": [1]}"#, "\"other\""),
            (r#"{"id": 7}"#, "\"id\""),
            (r#"[]"#, "not JSON of an inference request"),
        ] {
            let error = decode_generate(json.as_bytes(), &signature()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
