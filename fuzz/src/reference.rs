//! A request of JSON as serde_json reads it: slowly, as a tree of values, and by other people's code.

use bulkhead::tensor::{Datatype, NamedTensors, Tensor};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::forms::list;

/// What was taken for a request of JSON is one, but for the words that JSON does not have, and its tensors hold what it says.
pub fn check(json: &[u8], tensors: &NamedTensors) {
    let json = without_words(json);
    serde_json::from_slice::<IgnoredAny>(&json).expect("what was taken for JSON is JSON");
    // In fields that nobody reads, texts may be torn surrogates, and nesting may be deeper than a tree of values can be.
    let Ok(request) = serde_json::from_slice::<Value>(&json) else { return };
    let inputs = request["inputs"].as_array().expect("inputs are an array");
    assert_eq!(inputs.len(), tensors.len());
    for (input, (name, tensor)) in inputs.iter().zip(tensors) {
        assert_eq!(input["name"], **name);
        assert_eq!(input["datatype"], tensor.datatype().name());
        assert_eq!(input["shape"], Value::from(tensor.shape()));
        let mut values = Vec::new();
        // Data that is absent is of a tensor of no bytes.
        if !input["data"].is_null() {
            flatten(&input["data"], &mut values);
        }
        check_values(tensor, &values);
    }
}

/// What is no number, as a request may say it, and as the text that stands for it here.
const WORDS: [(&str, &str, f64); 3] = [
    ("NaN", "\"word NaN\"", f64::NAN),
    ("Infinity", "\"word Infinity\"", f64::INFINITY),
    ("-Infinity", "\"word -Infinity\"", f64::NEG_INFINITY),
];

fn without_words(json: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), json);
    while let [first, ..] = rest {
        let word = WORDS.iter().find(|(word, ..)| rest.starts_with(word.as_bytes()));
        let (length, written) = match (first, word) {
            (b'"', _) => (text_length(rest), &rest[..text_length(rest)]),
            (_, Some((word, text, _))) => (word.len(), text.as_bytes()),
            (_, None) => (1, &rest[..1]),
        };
        plain.extend_from_slice(written);
        rest = &rest[length..];
    }
    plain
}

/// With its quotes.
fn text_length(json: &[u8]) -> usize {
    let mut at = 1;
    while json.get(at).is_some_and(|byte| *byte != b'"') {
        at += 1 + usize::from(json[at] == b'\\');
    }
    json.len().min(at + 1)
}

fn flatten<'a>(value: &'a Value, values: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, values)),
        _ => values.push(value),
    }
}

fn check_values(tensor: &Tensor, values: &[&Value]) {
    let data = tensor.data();
    let signed = |elements: Vec<i64>| assert_eq!(elements, integers(values, Value::as_i64));
    let unsigned = |elements: Vec<u64>| assert_eq!(elements, integers(values, Value::as_u64));
    match tensor.datatype() {
        Datatype::Bool => {
            let booleans: Vec<bool> = values.iter().map(|value| **value == true || **value == 1).collect();
            assert_eq!(list(data, |[byte]| byte == 1), booleans);
        }
        Datatype::Uint8 => unsigned(list(data, |bytes| u8::from_le_bytes(bytes).into())),
        Datatype::Uint16 => unsigned(list(data, |bytes| u16::from_le_bytes(bytes).into())),
        Datatype::Uint32 => unsigned(list(data, |bytes| u32::from_le_bytes(bytes).into())),
        Datatype::Uint64 => unsigned(list(data, u64::from_le_bytes)),
        Datatype::Int8 => signed(list(data, |bytes| i8::from_le_bytes(bytes).into())),
        Datatype::Int16 => signed(list(data, |bytes| i16::from_le_bytes(bytes).into())),
        Datatype::Int32 => signed(list(data, |bytes| i32::from_le_bytes(bytes).into())),
        Datatype::Int64 => signed(list(data, i64::from_le_bytes)),
        Datatype::Fp64 => same(&list(data, f64::from_le_bytes), &doubles(values, |value| value), f64::to_bits, 0),
        // By way of a double a number is rounded twice, which may lead to the neighbour.
        Datatype::Fp32 => {
            let bits = |value: f32| value.to_bits().into();
            same(&list(data, f32::from_le_bytes), &doubles(values, |value| value as f32), bits, 1);
        }
        // One rounding of half::f16 is that of the host.
        Datatype::Fp16 | Datatype::Bf16 => assert_eq!(data.len(), 2 * values.len()),
        Datatype::Bytes => {
            let texts: Vec<&[u8]> = values.iter().filter_map(|value| value.as_str()).map(str::as_bytes).collect();
            assert_eq!(tensor.byte_strings().collect::<Vec<_>>(), texts);
        }
    }
}

fn integers<T>(values: &[&Value], read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    // Negative zero is a double to serde_json.
    let zero = |value: &Value| value.as_f64().filter(|number| *number == 0.0).and_then(|_| read(&Value::from(0)));
    values.iter().filter_map(|value| read(value).or_else(|| zero(value))).collect()
}

fn doubles<T>(values: &[&Value], convert: impl Fn(f64) -> T) -> Vec<T> {
    values.iter().filter_map(|value| double(value)).map(convert).collect()
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(f64::NAN),
        Value::String(said) => WORDS.iter().find(|(_, text, _)| text.trim_matches('"') == said).map(|word| word.2),
        number => number.as_f64(),
    }
}

/// Up to so many units of the last place.
fn same<T: Copy + Into<f64>>(elements: &[T], values: &[T], bits: impl Fn(T) -> u64, units: u64) {
    assert_eq!(elements.len(), values.len());
    for (element, value) in elements.iter().zip(values) {
        let (read, wanted): (f64, f64) = ((*element).into(), (*value).into());
        let near = bits(*element).abs_diff(bits(*value)) <= units;
        assert!(near, "{read} was read, and {wanted} is there");
    }
}
