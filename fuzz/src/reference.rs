//! Reference reader for JSON requests: serde_json, which is slower, builds a tree of values and is independent of the
//! host's scanner.

use bulkhead::tensor::{Datatype, NamedTensors, Tensor};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::forms::list;

/// Checks that a request that the host accepted as JSON is valid JSON (except for the words NaN and Infinity), and that its
/// tensors hold the values of the text.
pub(crate) fn check(json: &[u8], tensors: &NamedTensors) {
    // The mark of UTF-8, which the host skips.
    let json = without_words(json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json));
    serde_json::from_slice::<IgnoredAny>(&json).expect("what was taken for JSON is JSON");
    // Fields that the host ignores may contain unpaired surrogates, or nesting that is too deep for a tree of values.
    let Ok(request) = serde_json::from_slice::<Value>(&json) else { return };
    let inputs = request["inputs"].as_array().expect("inputs are an array");
    assert_eq!(inputs.len(), tensors.len());
    for (input, (name, tensor)) in inputs.iter().zip(tensors) {
        assert_eq!(input["name"], **name);
        assert_eq!(input["datatype"], tensor.datatype().name());
        assert_eq!(input["shape"], Value::from(tensor.shape()));
        let mut values = Vec::new();
        // Absent data means a tensor of zero bytes.
        if !input["data"].is_null() {
            flatten(&input["data"], &mut values);
        }
        check_values(tensor, &values);
    }
}

/// The words for NaN and infinities, each with the JSON text that replaces it for serde_json.
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

/// Length of a JSON string, its quotes included.
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
        // serde_json reads a double, which is then rounded a second time to FP32, so the result may differ by one unit.
        Datatype::Fp32 => {
            let bits = |value: f32| value.to_bits().into();
            #[expect(clippy::cast_possible_truncation, reason = "the second rounding, which is meant")]
            let round = |value| value as f32;
            same(&list(data, f32::from_le_bytes), &doubles(values, round), bits, 1);
        }
        // The host rounds with the crate `half` too, so comparing the values would prove nothing.
        Datatype::Fp16 | Datatype::Bf16 => assert_eq!(data.len(), 2 * values.len()),
        Datatype::Bytes => {
            let texts: Vec<&[u8]> = values.iter().filter_map(|value| value.as_str()).map(str::as_bytes).collect();
            assert_eq!(tensor.byte_strings().collect::<Vec<_>>(), texts);
        }
    }
}

fn integers<T>(values: &[&Value], read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    // serde_json reads negative zero as a double.
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

/// Asserts that the values agree within this many units in the last place.
fn same<T: Copy + Into<f64>>(elements: &[T], values: &[T], bits: impl Fn(T) -> u64, units: u64) {
    assert_eq!(elements.len(), values.len());
    for (element, value) in elements.iter().zip(values) {
        let (read, wanted): (f64, f64) = ((*element).into(), (*value).into());
        let near = bits(*element).abs_diff(bits(*value)) <= units;
        assert!(near, "read {read}, expected {wanted}");
    }
}
