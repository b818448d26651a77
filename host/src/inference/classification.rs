//! The `classification` of an output: instead of its tensor, its highest elements as texts `value:index`, in the form of
//! the protocol's extension, or `value:index:label` if the bundle names the classes.

use std::cmp::Ordering;

use bulkhead_tensor::match_datatype;

use crate::codec::error::EncodeError;
use crate::error::ApiError;
use crate::pipeline::Labels;
use crate::tensor::{Datatype, Tensor, TensorSpec, push_byte_string};

/// Upper bound on the elements to rank.
const MAX_ELEMENTS: usize = 1_000_000;

/// Checks that the elements of an output can be ranked, which is known before it is computed.
pub(crate) fn check(output: &TensorSpec) -> Result<(), ApiError> {
    match output.datatype {
        Datatype::Bool | Datatype::Bytes => Err(refuse(output, format!("its datatype {}", output.datatype))),
        _ => Ok(()),
    }
}

/// Lower bound on the bytes that a reply adds to each text: two quotes and a comma in JSON, a length in binary.
const AROUND_TEXT: usize = 3;

/// Bytes that the texts of one reply may still take.
pub(crate) struct TextRoom {
    bound: u64,
    left: usize,
}

impl TextRoom {
    /// Begins with the bound on the reply.
    pub(super) fn new(bound: u64) -> TextRoom {
        TextRoom { bound, left: usize::try_from(bound).unwrap_or(usize::MAX) }
    }

    fn take(&mut self, bytes: usize) -> Result<(), EncodeError> {
        self.left = self.left.checked_sub(bytes).ok_or(EncodeError::TooLarge { bound: self.bound })?;
        Ok(())
    }
}

/// Ranks an output: the `count` highest elements of each row if it has rows (its first dimension varies and others follow),
/// else of the whole tensor. Fails as soon as the texts exceed the bound on the reply.
pub(crate) fn classify(
    output: &TensorSpec,
    labels: Option<&Labels>,
    tensor: &Tensor,
    count: usize,
    room: &mut TextRoom,
) -> Result<Tensor, ApiError> {
    check(output)?;
    let batch = tensor.shape().first().copied().filter(|_| output.is_batched());
    let values = values(tensor);
    if values.len() > MAX_ELEMENTS {
        return Err(refuse(output, format!("its {} elements (at most {MAX_ELEMENTS} can be ranked)", values.len())));
    }
    let row = values.len() / batch.map_or(1, |batch| crate::numbers::to_usize(batch.max(1)));
    let count = count.min(row);
    let mut texts = Vec::new();
    if count > 0 {
        for row in values.chunks(row) {
            for at in best(row, count) {
                let text = match labels.and_then(|labels| labels.classes.get(at)) {
                    Some(label) => format!("{}:{at}:{label}", row[at]),
                    None => format!("{}:{at}", row[at]),
                };
                room.take(text.len() + AROUND_TEXT)?;
                push_byte_string(&mut texts, text.as_bytes());
            }
        }
    }
    let shape = batch.into_iter().chain([count as u64]).collect();
    let classes = Tensor::new(Datatype::Bytes, shape, texts.into());
    classes.map_err(|error| refuse(output, error.to_string()))
}

fn refuse(output: &TensorSpec, why: String) -> ApiError {
    ApiError::Classification { output: output.name.to_string(), why }
}

/// The positions of the highest values, highest first; of equal values the earlier first.
fn best(row: &[Value], count: usize) -> impl Iterator<Item = usize> {
    let order = |a: &usize, b: &usize| row[*b].compare(&row[*a]).then(a.cmp(b));
    let mut positions: Vec<usize> = (0..row.len()).collect();
    if count < positions.len() {
        positions.select_nth_unstable_by(count, order);
        positions.truncate(count);
    }
    positions.sort_unstable_by(order);
    positions.into_iter()
}

/// An element, wide enough for any datatype.
#[derive(Clone, Copy)]
enum Value {
    Integer(i128),
    Number(f64),
}

impl Value {
    /// Orders NaN below every number.
    fn compare(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())),
            // Never reached, because a tensor has one datatype.
            _ => Ordering::Equal,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Integer(value) => write!(f, "{value}"),
            // Six digits, as C++ writes a float: the form that clients' parsers have always read.
            Value::Number(value) if value.is_nan() => f.write_str("nan"),
            Value::Number(value) => write!(f, "{value:.6}"),
        }
    }
}

fn values(tensor: &Tensor) -> Vec<Value> {
    fn integers<T: Into<i128>, const W: usize>(data: &[u8], read: fn([u8; W]) -> T) -> Vec<Value> {
        data.as_chunks().0.iter().map(|bytes| Value::Integer(read(*bytes).into())).collect()
    }
    fn numbers<T: Into<f64>, const W: usize>(data: &[u8], read: fn([u8; W]) -> T) -> Vec<Value> {
        data.as_chunks().0.iter().map(|bytes| Value::Number(read(*bytes).into())).collect()
    }
    let data = tensor.data();
    match_datatype!(tensor.datatype(), {
        boolean => Vec::new(),
        integer T => integers(data, T::from_le_bytes),
        half T => numbers(data, T::from_le_bytes),
        float T => numbers(data, T::from_le_bytes),
        bytes => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(datatype: Datatype, declared: &[i64], shape: &[u64], data: Vec<u8>, count: usize) -> (Vec<u64>, String) {
        labelled_classes(datatype, declared, shape, data, count, false)
    }

    fn labelled_classes(
        datatype: Datatype,
        declared: &[i64],
        shape: &[u64],
        data: Vec<u8>,
        count: usize,
        labelled: bool,
    ) -> (Vec<u64>, String) {
        let output = TensorSpec { name: "y".into(), datatype, shape: declared.to_vec() };
        let tensor = Tensor::new(datatype, shape.to_vec(), data.into()).unwrap();
        let labels = Labels { file: "labels.txt".into(), classes: vec!["cat".into(), "dog".into()] };
        let labels = Some(labels).filter(|_| labelled);
        let room = &mut TextRoom::new(1 << 20);
        let classes = classify(&output, labels.as_ref(), &tensor, count, room).unwrap();
        let texts: Vec<_> = classes.byte_strings().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        (classes.shape().to_vec(), texts.join(" "))
    }

    fn fp32(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn the_highest_come_first_with_value_and_index() {
        let scores = fp32(&[1.1, 3.3, 0.5, 2.4]);
        let (shape, texts) = classes(Datatype::Fp32, &[4], &[4], scores.clone(), 2);
        assert_eq!((shape, texts.as_str()), (vec![2], "3.300000:1 2.400000:3"));
        let (shape, texts) = classes(Datatype::Fp32, &[-1, 2], &[2, 2], scores, 1);
        assert_eq!((shape, texts.as_str()), (vec![2, 1], "3.300000:1 2.400000:1"));
        assert_eq!(classes(Datatype::Int8, &[4], &[4], vec![1, 255, 10, 4], 9).1, "10:2 4:3 1:0 -1:1");
    }

    #[test]
    fn classes_with_labels_have_them() {
        let scores = fp32(&[1.5, 2.5, 0.0]);
        let (_, texts) = labelled_classes(Datatype::Fp32, &[3], &[3], scores, 3, true);
        assert_eq!(texts, "2.500000:1:dog 1.500000:0:cat 0.000000:2");
    }

    #[test]
    fn equal_values_nan_and_no_elements_are_ordered() {
        let odd = fp32(&[f32::NAN, 1.0, 1.0, f32::NEG_INFINITY]);
        assert_eq!(classes(Datatype::Fp32, &[4], &[4], odd, 4).1, "1.000000:1 1.000000:2 -inf:3 nan:0");
        assert_eq!(classes(Datatype::Fp32, &[-1, 2], &[0, 2], vec![], 3), (vec![0, 0], String::new()));
    }

    #[test]
    fn texts_beyond_the_bound_on_the_reply_are_refused() {
        let output = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, 1] };
        let labels = Labels { file: "labels.txt".into(), classes: vec!["x".repeat(1024)] };
        let classify = |rows: usize, room: &mut TextRoom| {
            let tensor = Tensor::new(Datatype::Fp32, vec![rows as u64, 1], fp32(&vec![1.0; rows]).into()).unwrap();
            super::classify(&output, Some(&labels), &tensor, 1, room)
        };
        // `1.000000:0:` and the label.
        let text = 11 + 1024 + AROUND_TEXT as u64;
        classify(100, &mut TextRoom::new(100 * text)).unwrap();
        let refused = classify(101, &mut TextRoom::new(100 * text));
        assert!(matches!(refused, Err(ApiError::Encode(EncodeError::TooLarge { bound })) if bound == 100 * text));
        let room = &mut TextRoom::new(100 * text);
        classify(60, room).unwrap();
        assert!(classify(60, room).is_err(), "outputs of one reply share its bound");
    }

    #[test]
    fn only_numbers_are_ranked() {
        let output = TensorSpec { name: "y".into(), datatype: Datatype::Bytes, shape: vec![1] };
        assert!(check(&output).unwrap_err().to_string().contains("its datatype BYTES"));
    }
}
