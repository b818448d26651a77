//! The JSON replies of TensorFlow Serving's REST API.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;

use super::rows::RequestLayout;
use super::values::{ElementWriter, json, separated};
use crate::codec::error::EncodeError;
use crate::codec::json::writer::Bounded;
use crate::numbers::to_usize;
use crate::pipeline::Labels;
use crate::tensor::{Datatype, NamedTensors, Tensor};

/// Writes `{"predictions": …}` for rows, or `{"outputs": …}` for columns, within `bound` bytes. A single output is written
/// without its name.
pub fn predictions(outputs: &NamedTensors, layout: RequestLayout, bound: u64) -> Result<Vec<Bytes>, EncodeError> {
    check_texts(outputs)?;
    let rows = match layout {
        RequestLayout::Rows => Some(common_rows(outputs)?),
        RequestLayout::Columns => None,
    };
    write_within(bound, |out| match rows {
        Some(rows) => write_rows(out, outputs, rows),
        None => write_columns(out, outputs),
    })
}

/// Writes `{"results": [[[label, score], …], …]}`, the scores of all classes for each example, within `bound` bytes. Labels
/// come from an output of the model, or else from its bundle; without either they are empty.
pub fn classes(
    outputs: &NamedTensors,
    names: &BTreeMap<String, Labels>,
    bound: u64,
) -> Result<Vec<Bytes>, EncodeError> {
    check_texts(outputs)?;
    let (output, scores) = only_floating(outputs, ":classify")?;
    let &[examples, classes] = scores.shape() else {
        return Err(unfit(
            ":classify",
            format!("its scores have shape {:?}, and not examples by classes", scores.shape()),
        ));
    };
    let labels = outputs.iter().map(|(_, tensor)| tensor).find(|tensor| tensor.datatype() == Datatype::Bytes);
    let labels = labels.filter(|labels| labels.shape() == scores.shape() || *labels.shape() == [classes]);
    let known = names.get(output).map(|labels| &labels.classes[..]).unwrap_or_default();
    let repeated = labels.is_some_and(|labels| labels.shape().len() == 1);
    write_within(bound, |out| {
        let (mut scores, mut names) = (ElementWriter::of(scores), labels.map(ElementWriter::of));
        out.write_all(b"{\"results\": [")?;
        separated(out, examples, |out| {
            if repeated {
                names = labels.map(ElementWriter::of);
            }
            out.write_all(b"[")?;
            let mut known = known.iter();
            separated(out, classes, |out| {
                out.write_all(b"[")?;
                match &mut names {
                    Some(names) => names.write_next(out, false)?,
                    None => json(out, known.next().map_or("", String::as_str))?,
                }
                out.write_all(b", ")?;
                scores.write_next(out, false)?;
                out.write_all(b"]")
            })?;
            out.write_all(b"]")
        })?;
        out.write_all(b"]}")
    })
}

/// Writes `{"results": [value, …]}`, the value of each example, within `bound` bytes.
pub fn values(outputs: &NamedTensors, _: &BTreeMap<String, Labels>, bound: u64) -> Result<Vec<Bytes>, EncodeError> {
    let (_, values) = only_floating(outputs, ":regress")?;
    let examples = match values.shape() {
        &[examples] | &[examples, 1] => examples,
        shape => {
            return Err(unfit(":regress", format!("its values have shape {shape:?}, and not one for each example")));
        }
    };
    write_within(bound, |out| {
        let mut values = ElementWriter::of(values);
        out.write_all(b"{\"results\": [")?;
        separated(out, examples, |out| values.write_next(out, false))?;
        out.write_all(b"]}")
    })
}

fn unfit(verb: &str, why: String) -> EncodeError {
    EncodeError::Form { why: format!("the model does not fit {verb}: {why}; call :predict") }
}

fn only_floating<'a>(outputs: &'a NamedTensors, verb: &str) -> Result<(&'a str, &'a Tensor), EncodeError> {
    let floating = |datatype| matches!(datatype, Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64);
    let mut found = outputs.iter().filter(|(_, tensor)| floating(tensor.datatype()));
    match (found.next(), found.next()) {
        (Some((name, only)), None) => Ok((name, only)),
        (None, _) => Err(unfit(verb, "it has no floating-point output".into())),
        (Some(_), Some(_)) => Err(unfit(verb, "it has several floating-point outputs".into())),
    }
}

/// True if an output of BYTES is written as base64: TensorFlow Serving decides this by the output's name.
fn is_binary(name: &str) -> bool {
    name.ends_with("_bytes")
}

fn check_texts(outputs: &NamedTensors) -> Result<(), EncodeError> {
    let texts = outputs.iter().filter(|(name, tensor)| tensor.datatype() == Datatype::Bytes && !is_binary(name));
    for (name, tensor) in texts {
        if tensor.byte_strings().any(|text| std::str::from_utf8(text).is_err()) {
            let instead = "call Predict over gRPC, or a model whose output has a name that ends in _bytes, which is written in base64";
            return Err(EncodeError::NotText { output: name.to_string(), instead });
        }
    }
    Ok(())
}

fn common_rows(outputs: &NamedTensors) -> Result<u64, EncodeError> {
    let mut common = None;
    for (name, tensor) in outputs {
        let Some(rows) = tensor.shape().first() else {
            let why = format!("Tensor name: {name} has no rows; send 'inputs' instead of 'instances'");
            return Err(EncodeError::Form { why });
        };
        if *common.get_or_insert(*rows) != *rows {
            let expected = common.unwrap_or_default();
            let why = format!(
                "Tensor name: {name} has inconsistent batch size: {rows} expecting: {expected}; send 'inputs' instead of 'instances'"
            );
            return Err(EncodeError::Form { why });
        }
    }
    Ok(common.unwrap_or_default())
}

fn write_within(bound: u64, write: impl FnOnce(&mut Bounded) -> io::Result<()>) -> Result<Vec<Bytes>, EncodeError> {
    let mut out = Bounded::new(to_usize(bound));
    write(&mut out).map_err(|_| EncodeError::TooLarge { bound })?;
    Ok(out.into_pieces())
}

/// Writes outputs that have `rows` rows each by [`common_rows`], which refuses tensors without dimensions.
fn write_rows(out: &mut Bounded, outputs: &NamedTensors, rows: u64) -> io::Result<()> {
    let mut columns: Vec<_> =
        outputs.iter().map(|(name, tensor)| (name, ElementWriter::of(tensor), &tensor.shape()[1..])).collect();
    out.write_all(b"{\"predictions\": [")?;
    separated(out, rows, |out| match &mut columns[..] {
        [(name, elements, shape)] => elements.write(out, shape, is_binary(name)),
        several => write_object(out, several.iter_mut(), |out, (name, elements, shape)| {
            write_name(out, name)?;
            elements.write(out, shape, is_binary(name))
        }),
    })?;
    out.write_all(b"]}")
}

fn write_columns(out: &mut Bounded, outputs: &NamedTensors) -> io::Result<()> {
    out.write_all(b"{\"outputs\": ")?;
    match &outputs[..] {
        [(name, tensor)] => ElementWriter::of(tensor).write(out, tensor.shape(), is_binary(name))?,
        several => write_object(out, several.iter(), |out, (name, tensor)| {
            write_name(out, name)?;
            ElementWriter::of(tensor).write(out, tensor.shape(), is_binary(name))
        })?,
    }
    out.write_all(b"}")
}

fn write_object<T>(
    out: &mut Bounded,
    entries: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Bounded, T) -> io::Result<()>,
) -> io::Result<()> {
    for (at, entry) in entries.enumerate() {
        out.write_all(if at == 0 { b"{" } else { b", " })?;
        write(out, entry)?;
    }
    out.write_all(b"}")
}

fn write_name(out: &mut Bounded, name: &str) -> io::Result<()> {
    json(out, name)?;
    out.write_all(b": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, shape: &[u64], values: &[f32]) -> (std::sync::Arc<str>, Tensor) {
        let data: Vec<u8> = values.iter().copied().flat_map(f32::to_le_bytes).collect();
        (name.into(), Tensor::new(Datatype::Fp32, shape.to_vec(), data.into()).unwrap())
    }

    fn texts(name: &str, shape: &[u64], values: &[&[u8]]) -> (std::sync::Arc<str>, Tensor) {
        let mut data = Vec::new();
        values.iter().for_each(|value| crate::tensor::push_byte_string(&mut data, value));
        (name.into(), Tensor::new(Datatype::Bytes, shape.to_vec(), data.into()).unwrap())
    }

    fn text(encoded: Result<Vec<Bytes>, EncodeError>) -> String {
        encoded.map_or_else(|error| error.to_string(), |pieces| String::from_utf8(pieces.concat()).unwrap())
    }

    #[test]
    fn rows_and_columns_are_written_as_tensorflow_serving_does() {
        let y = output("y", &[2, 2], &[1.0, 2.5, f32::NAN, f32::NEG_INFINITY]);
        let rows = |outputs: &NamedTensors| text(predictions(outputs, RequestLayout::Rows, 1000));
        let columns = |outputs: &NamedTensors| text(predictions(outputs, RequestLayout::Columns, 1000));
        let one = vec![y.clone()];
        assert_eq!(rows(&one), r#"{"predictions": [[1.0, 2.5], [NaN, -Infinity]]}"#);
        assert_eq!(columns(&one), r#"{"outputs": [[1.0, 2.5], [NaN, -Infinity]]}"#);
        let two = vec![y, texts("raw_bytes", &[2], &[b"\xff", b"a"])];
        assert_eq!(
            rows(&two),
            r#"{"predictions": [{"y": [1.0, 2.5], "raw_bytes": {"b64": "/w=="}}, {"y": [NaN, -Infinity], "raw_bytes": {"b64": "YQ=="}}]}"#
        );
        assert!(columns(&vec![output("s", &[], &[3.0])]).contains(r#""outputs": 3.0}"#));
        assert!(rows(&vec![output("s", &[], &[3.0])]).contains("no rows"));
        assert!(rows(&vec![output("a", &[1], &[3.0]), output("b", &[2], &[3.0, 4.0])]).contains("inconsistent"));
        assert!(
            text(predictions(&vec![output("y", &[1 << 40, 0], &[])], RequestLayout::Rows, 100))
                .contains("more than 100")
        );
    }

    #[test]
    fn classes_and_values_are_found_by_their_form() {
        let scores = output("scores", &[1, 2], &[0.25, 0.75]);
        let labels = texts("labels", &[2], &[b"cat", b"dog"]);
        let none = BTreeMap::new();
        assert_eq!(text(classes(&vec![scores.clone()], &none, 100)), r#"{"results": [[["", 0.25], ["", 0.75]]]}"#);
        let labelled = text(classes(&vec![labels, scores.clone()], &none, 100));
        assert_eq!(labelled, r#"{"results": [[["cat", 0.25], ["dog", 0.75]]]}"#);
        let known = Labels { file: "labels.txt".into(), classes: vec!["a\"".into()] };
        let known = BTreeMap::from([("scores".to_owned(), known)]);
        let named = text(classes(&vec![scores.clone()], &known, 100));
        assert_eq!(named, r#"{"results": [[["a\"", 0.25], ["", 0.75]]]}"#);
        assert_eq!(text(values(&vec![output("y", &[2, 1], &[1.0, 2.0])], &none, 100)), r#"{"results": [1.0, 2.0]}"#);
        assert!(text(values(&vec![scores], &none, 100)).contains("does not fit :regress"));
    }
}
