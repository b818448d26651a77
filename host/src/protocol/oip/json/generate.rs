//! The decoder of `generate` requests, which are plain objects whose fields are the model's inputs and parameters.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::codec::error::DecodeError;
use crate::codec::json::elements;
use crate::codec::json::scanner::JsonScanner;
use crate::codec::parameters::{Scalar, extend};
use crate::inference::InferRequest;
use crate::sandbox::Parameters;
use crate::tensor::{NamedTensors, Signature, Tensor, TensorSpec};

/// Decodes a request. A field with the name of an input is that tensor: one value, a flat list of values, or lists that are
/// nested as the tensor's shape is. `id` and `parameters` have the same meaning as in other requests, and every other field
/// is a parameter. Inputs may also stand in `parameters`, where some clients put all that is not the text.
pub fn decode_generate(json: &[u8], signature: &Signature) -> Result<InferRequest, DecodeError> {
    let (mut request, mut parameters) = (InferRequest::default(), Parameters::new());
    let mut nested = None;
    for (name, value) in fields(json, "as fields")? {
        match name.as_str() {
            _ if find(signature, &name).is_some() => add(&mut request.inputs, &mut parameters, signature, name, value)?,
            "id" => request.id = serde_json::from_str(value).map_err(|error| field_error(&name, error))?,
            "parameters" => nested = Some(value).filter(|value| *value != "null"),
            _ => add(&mut request.inputs, &mut parameters, signature, name, value)?,
        }
    }
    let mut more = Parameters::new();
    let nested = nested.map(|json| fields(json.as_bytes(), "in \"parameters\"")).transpose()?;
    for (name, value) in nested.into_iter().flatten() {
        if request.inputs.iter().any(|(input, _)| **input == *name) {
            return Err(DecodeError::TwiceGiven { what: "input", name, places: AS_FIELD_AND_WITHIN });
        }
        add(&mut request.inputs, &mut more, signature, name, value)?;
    }
    extend(&mut parameters, more, AS_FIELD_AND_WITHIN)?;
    Ok(InferRequest { parameters, ..request })
}

const AS_FIELD_AND_WITHIN: &str = "as a field, and in \"parameters\", too";

/// The fields of an object, and the texts of their values. `place` says where a field is that is there twice.
fn fields<'a>(json: &'a [u8], place: &'static str) -> Result<BTreeMap<String, &'a str>, DecodeError> {
    let mut scanner = JsonScanner::new(json);
    let mut fields = BTreeMap::new();
    scanner.object(|scanner, name| match fields.insert(name.to_owned(), scanner.raw()?) {
        None => Ok(()),
        Some(_) => Err(DecodeError::TwiceGiven { what: "field", name: name.to_owned(), places: place }),
    })?;
    scanner.end()?;
    Ok(fields)
}

fn find<'a>(signature: &'a Signature, name: &str) -> Option<&'a TensorSpec> {
    signature.inputs.iter().find(|spec| *spec.name == *name)
}

/// Adds a value as the input of that name, or else as a parameter, unless it is null.
fn add(
    inputs: &mut NamedTensors,
    parameters: &mut Parameters,
    signature: &Signature,
    name: String,
    value: &str,
) -> Result<(), DecodeError> {
    if let Some(spec) = find(signature, &name) {
        inputs.push((spec.name.clone(), tensor(spec, value)?));
        return Ok(());
    }
    let Scalar(value) = serde_json::from_str(value).map_err(|error| field_error(&name, error))?;
    parameters.extend(value.map(|value| (name, value)));
    Ok(())
}

fn field_error(field: &str, error: serde_json::Error) -> DecodeError {
    DecodeError::Field { field: field.to_owned(), error }
}

fn tensor(spec: &TensorSpec, value: &str) -> Result<Tensor, DecodeError> {
    let input = || spec.name.to_string();
    let elements = elements::parse_all_with_objects(spec.datatype, value);
    let elements::Parsed { bytes, count, nesting, .. } =
        elements.map_err(|problem| DecodeError::Data { input: input(), problem })?;
    let shape = match nesting.len() {
        0 | 1 => shape(spec, count).ok_or_else(|| DecodeError::NoShape { input: spec.describe(), count })?,
        _ => nesting,
    };
    let tensor = Tensor::new(spec.datatype, shape, Bytes::from(bytes));
    tensor.map_err(|error| DecodeError::Tensor { input: input(), error })
}

/// The shape of a single value or a flat list of `count` elements: dimensions that vary are 1, except for the innermost of them, which takes the rest.
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
        let nested = decode_generate(br#"{"rows": [[[1, 2]], [[3, 4]]]}"#, &signature()).unwrap();
        assert_eq!(nested.inputs[0].1.shape(), [2, 1, 2]);
        let t = ("t".to_owned(), ParameterValue::Number(0.5));
        assert_eq!(request.parameters, [("stream".to_owned(), ParameterValue::Boolean(false)), t]);
        let inside = br#"{"text_input": "hi", "parameters": {"rows": [1, 2], "t": 0.5}}"#;
        let inside = decode_generate(inside, &signature()).unwrap();
        assert_eq!((inside.inputs.len(), inside.parameters.len()), (2, 1));
        assert_eq!(inside.inputs[1].1.shape(), [1, 1, 2]);
        let object = decode_generate(br#"{"text_input": {"a": [1,"\u00e9"]} }"#, &signature()).unwrap();
        assert_eq!(object.inputs[0].1.byte_strings().collect::<Vec<_>>(), [br#"{"a": [1,"\u00e9"]}"#]);
        for nothing in [&br#"{"parameters": null}"#[..], br#"{"stop": null, "parameters": {"seed": null}}"#] {
            assert!(decode_generate(nothing, &signature()).unwrap().parameters.is_empty());
        }
    }

    #[test]
    fn fields_that_do_not_fit_are_refused() {
        for (json, wanted) in [
            (r#"{"rows": [1, 2, 3]}"#, "3 elements"),
            (r#"{"text_input": {"a" 1}}"#, "the object is not valid JSON"),
            (r#"{"rows": [[1, 2], [3]]}"#, "has 1 elements"),
            (r#"{"text_input": ["a", "b"]}"#, "2 elements"),
            (r#"{"text_input": 7}"#, "must be a text"),
            (r#"{"other": [1]}"#, "\"other\""),
            (r#"{"parameters": {"other": [1]}}"#, "\"other\""),
            (r#"{"parameters": 7}"#, "expected an object"),
            (r#"{"text_input": "a", "parameters": {"text_input": "b"}}"#, "in \"parameters\", too"),
            (
                r#"{"k": 1, "parameters": {"k": 2}}"#,
                "parameter \"k\" is given twice: as a field, and in \"parameters\"",
            ),
            (r#"{"text_input": "a", "text_input": "b"}"#, "field \"text_input\" is given twice: as fields"),
            (r#"{"parameters": {"k": 1, "k": 2}}"#, "field \"k\" is given twice: in \"parameters\""),
            (r#"{"id": 7}"#, "\"id\""),
            (r#"[]"#, "not JSON of an inference request"),
        ] {
            let error = decode_generate(json.as_bytes(), &signature()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
