//! Requests to predict: rows (`instances`) or columns (`inputs`), to tensors. Values go from the text into the bytes of
//! their tensors; of rows, one at a time is looked at.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::nesting;
use crate::api::wire::{DecodeError, InferRequest, elements, tensor_shape};
use crate::config::format_bytes;
use crate::tensor::{NamedTensors, Tensor, TensorSpec, element_count};

/// How a request was written, and so its reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Rows,
    Columns,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    signature_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    instances: Option<&'a RawValue>,
    #[serde(borrow, default)]
    inputs: Option<&'a RawValue>,
}

/// A request, the form that its reply has to have, and the name of its signature, which somebody has to check.
pub fn decode(json: &[u8], specs: &[TensorSpec], bound: u64) -> Result<(InferRequest, Form), DecodeError> {
    let body: Body = serde_json::from_slice(json).map_err(|error| wrong(format!("JSON Parse error: {error}")))?;
    super::check_signature(body.signature_name.as_deref().unwrap_or_default(), super::PREDICT)?;
    let (inputs, form) = match (body.instances, body.inputs) {
        (Some(rows), None) => (decode_rows(rows.get(), specs, bound)?, Form::Rows),
        (None, Some(columns)) => (decode_columns(columns.get(), specs)?, Form::Columns),
        (None, None) => return Err(wrong("Missing 'inputs' or 'instances' key".into())),
        (Some(_), Some(_)) => {
            return Err(wrong("Expecting only one of 'inputs' or 'instances' keys to exist".into()));
        }
    };
    Ok((InferRequest { inputs, ..InferRequest::default() }, form))
}

pub fn wrong(text: String) -> DecodeError {
    DecodeError::Tensorflow(text)
}

/// Whether this is an object of names, and not one that stands for bytes.
fn is_named(json: &str) -> bool {
    let inside = json.strip_prefix('{').map(str::trim_ascii_start);
    inside.is_some_and(|inside| !inside.starts_with("\"b64\""))
}

fn decode_rows(json: &str, specs: &[TensorSpec], bound: u64) -> Result<NamedTensors, DecodeError> {
    let first = json.strip_prefix('[').map(str::trim_ascii_start).filter(|first| !first.starts_with(']'));
    let Some(first) = first else {
        return Err(wrong("'instances' is not a list, or is an empty one".into()));
    };
    if is_named(first) {
        let mut columns = Columns::new(specs, bound);
        each(json, |row: &RawValue| columns.add_row(row.get(), Row::Tensors))?;
        return columns.finish();
    }
    let [spec] = specs else {
        let text = "instances is a plain list, but expecting list of objects as multiple input tensors required";
        return Err(wrong(format!("{text}: {}", crate::tensor::names(specs))));
    };
    Ok(vec![(spec.name.clone(), decode_tensor(spec, json)?)])
}

fn decode_columns(json: &str, specs: &[TensorSpec]) -> Result<NamedTensors, DecodeError> {
    if is_named(json) {
        let mut tensors = NamedTensors::new();
        each_entry(json, |name, value| {
            // One more than there are inputs is one too many, whatever it is called.
            let spec = find(specs, name).filter(|_| tensors.len() <= specs.len());
            let spec = spec.ok_or_else(|| unknown(name))?;
            tensors.push((spec.name.clone(), decode_tensor(spec, value)?));
            Ok(())
        })?;
        return Ok(tensors);
    }
    let [spec] = specs else {
        let text = "inputs is a plain value/list, but expecting an object as multiple input tensors required";
        return Err(wrong(format!("{text}: {}", crate::tensor::names(specs))));
    };
    Ok(vec![(spec.name.clone(), decode_tensor(spec, json)?)])
}

fn find<'a>(specs: &'a [TensorSpec], name: &str) -> Option<&'a TensorSpec> {
    specs.iter().find(|spec| *spec.name == *name)
}

fn unknown(name: &str) -> DecodeError {
    wrong(format!("JSON object: does not have named input: {}", crate::config::clip(name.to_owned())))
}

fn decode_tensor(spec: &TensorSpec, json: &str) -> Result<Tensor, DecodeError> {
    let (shape, data) = read(spec, json)?;
    let tensor = Tensor::new(spec.datatype, shape, Bytes::from(data));
    tensor.map_err(|error| DecodeError::Tensor { input: spec.name.to_string(), error })
}

fn read(spec: &TensorSpec, json: &str) -> Result<(Vec<u64>, Vec<u8>), DecodeError> {
    let input = || spec.name.to_string();
    let problem = |problem| DecodeError::Data { input: input(), problem };
    let shape = nesting::shape(json).map_err(problem)?;
    let count = element_count(&shape).map_err(|error| DecodeError::Tensor { input: input(), error })?;
    let data = elements::parse_with_base64(spec.datatype, count, json.as_bytes()).map_err(problem)?;
    Ok((shape, data))
}

/// What the values of a row are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row {
    /// Tensors without their first dimension.
    Tensors,
    /// Features: a value, or a flat list of them.
    Features,
}

/// Tensors that grow row by row.
pub struct Columns<'a> {
    columns: Vec<Column<'a>>,
    rows: u64,
    bytes: u64,
    bound: u64,
}

struct Column<'a> {
    spec: &'a TensorSpec,
    row: Vec<u64>,
    rows: u64,
    data: Vec<u8>,
    /// What stands in every row, with its shape.
    common: Option<(Vec<u64>, Vec<u8>)>,
}

impl<'a> Columns<'a> {
    pub fn new(specs: &'a [TensorSpec], bound: u64) -> Columns<'a> {
        let column = |spec| Column { spec, row: Vec::new(), rows: 0, data: Vec::new(), common: None };
        Columns { columns: specs.iter().map(column).collect(), rows: 0, bytes: 0, bound }
    }

    /// A feature that every row has. It is read once: its text may be long, and the rows many.
    pub fn add_common(&mut self, name: &str, json: &str) -> Result<(), DecodeError> {
        let column = find_column(&mut self.columns, name)?;
        if column.common.is_some() {
            return Err(wrong(format!("'context' has \"{name}\" twice")));
        }
        let (shape, data) = read(column.spec, json)?;
        column.common = Some((as_feature(column.spec, shape)?, data));
        Ok(())
    }

    /// Adds an object with a value for each input that is not common to all rows.
    pub fn add_row(&mut self, json: &str, kind: Row) -> Result<(), DecodeError> {
        self.rows += 1;
        each_entry(json, |name, value| self.add(name, value, kind))?;
        let (rows, bytes, bound) = (self.rows, &mut self.bytes, self.bound);
        for column in &mut self.columns {
            if let Some((shape, data)) = column.common.take() {
                count(bytes, data.len(), bound)?;
                column.append(rows, &shape, &data)?;
                column.common = Some((shape, data));
            }
        }
        match self.columns.iter().all(|column| column.rows == rows) {
            true => Ok(()),
            false => {
                let names = self.columns.iter().map(|column| &*column.spec.name).collect::<Vec<_>>().join(",");
                Err(wrong(format!("item {}: keys must be equal to: {names}", rows - 1)))
            }
        }
    }

    fn add(&mut self, name: &str, json: &str, kind: Row) -> Result<(), DecodeError> {
        let column = find_column(&mut self.columns, name)?;
        let (mut shape, data) = read(column.spec, json)?;
        if kind == Row::Features {
            shape = as_feature(column.spec, shape)?;
        }
        count(&mut self.bytes, data.len(), self.bound)?;
        column.append(self.rows, &shape, &data)
    }

    pub fn finish(self) -> Result<NamedTensors, DecodeError> {
        let finish = |column: Column| {
            let name = &column.spec.name;
            let sizes: Vec<i64> =
                std::iter::once(self.rows).chain(column.row).map(|size| i64::try_from(size).unwrap_or(-1)).collect();
            let (shape, _) = tensor_shape(name, &sizes)?;
            let tensor = Tensor::new(column.spec.datatype, shape, column.data.into());
            let tensor = tensor.map_err(|error| DecodeError::Tensor { input: name.to_string(), error })?;
            Ok((name.clone(), tensor))
        };
        self.columns.into_iter().map(finish).collect()
    }
}

impl Column<'_> {
    fn append(&mut self, rows: u64, shape: &[u64], data: &[u8]) -> Result<(), DecodeError> {
        let (item, name) = (rows - 1, &self.spec.name);
        if self.rows == rows {
            return Err(wrong(format!("item {item}: \"{name}\" is there twice")));
        }
        if rows == 1 {
            self.row = shape.to_vec();
        } else if self.row != shape {
            let text = format!("item {item} key: {name}: Expecting shape {:?} but got: {shape:?}", self.row);
            return Err(wrong(text));
        }
        self.data.extend_from_slice(data);
        self.rows = rows;
        Ok(())
    }
}

fn find_column<'a, 'b>(columns: &'a mut [Column<'b>], name: &str) -> Result<&'a mut Column<'b>, DecodeError> {
    columns.iter_mut().find(|column| *column.spec.name == *name).ok_or_else(|| unknown(name))
}

/// Rows may repeat what a context says once.
fn count(bytes: &mut u64, more: usize, bound: u64) -> Result<(), DecodeError> {
    *bytes += more as u64;
    if *bytes > bound {
        let bound = format_bytes(bound);
        return Err(wrong(format!("the rows together have more than {bound} (http.request-bytes)")));
    }
    Ok(())
}

/// A feature has no more than one dimension in a row; whether one value is written as a list is the client's choice.
fn as_feature(spec: &TensorSpec, shape: Vec<u64>) -> Result<Vec<u64>, DecodeError> {
    match (spec.shape.len(), &shape[..]) {
        (1, [] | [1]) => Ok(Vec::new()),
        (2, []) => Ok(vec![1]),
        (2, [_]) => Ok(shape),
        _ => {
            let text = "a feature is a value or a flat list, and becomes a row of an input of one or two dimensions";
            Err(wrong(format!("input {}: {text}; call :predict", spec.describe())))
        }
    }
}

/// Looks at each element of a list of JSON.
pub fn each(json: &str, mut look: impl FnMut(&RawValue) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let mut problem = None;
    let visitor = Each(|element: &RawValue| {
        problem = look(element).err();
        problem.is_none()
    });
    let read = serde::Deserializer::deserialize_seq(&mut serde_json::Deserializer::from_str(json), visitor);
    problem.map_or(read.map_err(DecodeError::NotJson), Err)
}

/// Looks at each entry of an object of JSON.
pub fn each_entry(json: &str, mut look: impl FnMut(&str, &str) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let mut problem = None;
    let visitor = EachEntry(|name: &str, value: &RawValue| {
        problem = look(name, value.get()).err();
        problem.is_none()
    });
    let read = serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(json), visitor);
    problem.map_or(read.map_err(DecodeError::NotJson), Err)
}

/// Ends the reading when the look says no.
struct Each<F>(F);

impl<'de, F: FnMut(&RawValue) -> bool> serde::de::Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<&RawValue>()? {
            if !(self.0)(element) {
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

struct EachEntry<F>(F);

impl<'de, F: FnMut(&str, &RawValue) -> bool> serde::de::Visitor<'de> for EachEntry<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((name, value)) = object.next_entry::<Cow<str>, &RawValue>()? {
            if !(self.0)(&name, value) {
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
