//! The decoder of predict requests over REST: rows (`instances`) or columns (`inputs`). Values go straight from the text
//! into the bytes of their tensors, and rows are read one at a time, so that no tree of values is built.

use bytes::Bytes;

use super::proto::wrong;
use super::signature::{PREDICT, check_signature};
use crate::codec::error::DecodeError;
use crate::codec::json::elements::{self, Parsed};
use crate::codec::json::scanner::JsonScanner;
use crate::codec::parameters::ParameterMap;
use crate::codec::tensor_head::tensor_shape;
use crate::config::format_bytes;
use crate::inference::InferRequest;
use crate::sandbox::Parameters;
use crate::tensor::{Datatype, NamedTensors, Tensor, TensorSpec};

/// The layout of a request, which its reply has too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestLayout {
    Rows,
    Columns,
}

/// Decodes a request, and returns it with the layout that its reply must have. The tensors of rows may have `bound` bytes
/// together. A signature that the host does not have is an error.
pub fn decode(json: &[u8], specs: &[TensorSpec], bound: u64) -> Result<(InferRequest, RequestLayout), DecodeError> {
    let Opened { signature, parameters, texts: [instances, inputs] } = open(json, ["instances", "inputs"])?;
    check_signature(&signature, PREDICT)?;
    let (inputs, layout) = match (instances, inputs) {
        (Some(rows), None) => (decode_rows(rows, specs, bound)?, RequestLayout::Rows),
        (None, Some(columns)) => (decode_columns(columns, specs)?, RequestLayout::Columns),
        (None, None) => return Err(wrong("Missing 'inputs' or 'instances' key".into())),
        (Some(_), Some(_)) => {
            return Err(wrong("Expecting only one of 'inputs' or 'instances' keys to exist".into()));
        }
    };
    Ok((InferRequest { inputs, parameters, ..InferRequest::default() }, layout))
}

/// The fields of a body.
pub struct Opened<'a, const N: usize> {
    /// The name of the signature that it asks for; empty if none.
    pub signature: String,
    /// Parameters for the plugins. TensorFlow Serving has none; the field is that of Vertex AI's requests, which have this
    /// form otherwise.
    pub parameters: Parameters,
    /// The texts of the other fields that were asked for.
    pub texts: [Option<&'a str>; N],
}

/// Reads a body, and the texts of its fields `names`.
pub fn open<'a, const N: usize>(json: &'a [u8], names: [&str; N]) -> Result<Opened<'a, N>, DecodeError> {
    let (mut signature, mut parameters) = (None::<Option<String>>, None::<Option<ParameterMap>>);
    let mut texts = [None; N];
    let mut scanner = JsonScanner::new(json);
    let scanned = scanner.object(|scanner, field| match names.iter().position(|name| *name == field) {
        Some(at) if texts[at].is_some() => Err(scanner.twice(field)),
        Some(at) => {
            texts[at] = Some(scanner.raw()?);
            Ok(())
        }
        None if field == "signature_name" => scanner.once(field, &mut signature),
        None if field == "parameters" => scanner.once(field, &mut parameters),
        None => scanner.skip_value(),
    });
    scanned.and_then(|()| scanner.end()).map_err(parse_error)?;
    Ok(Opened {
        signature: signature.flatten().unwrap_or_default(),
        parameters: parameters.flatten().unwrap_or_default().0,
        texts: texts.map(|text| text.filter(|text| *text != "null")),
    })
}

fn parse_error(error: DecodeError) -> DecodeError {
    match error {
        DecodeError::Json { problem, byte } => wrong(format!("JSON Parse error: {problem}, at byte {byte}")),
        other => other,
    }
}

/// True if this is an object whose fields are named inputs, and not one that stands for bytes (`{"b64": …}`).
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
        each(json, |row| columns.add_row(row, Row::Tensors))?;
        return columns.finish();
    }
    let [spec] = specs else {
        let text = "instances is a plain list, but expecting list of objects as multiple input tensors required";
        return Err(wrong(format!("{text}: {}", crate::tensor::names(specs))));
    };
    Ok(vec![(spec.name.clone(), decode_tensor(spec, json, elements::parse_all_with_base64)?)])
}

fn decode_columns(json: &str, specs: &[TensorSpec]) -> Result<NamedTensors, DecodeError> {
    if is_named(json) {
        let mut tensors = NamedTensors::new();
        each_entry(json, |name, value| {
            // Names may repeat, so the number of tensors is bounded here. A repeated name is refused when inputs are bound.
            let spec = find(specs, name).filter(|_| tensors.len() <= specs.len());
            let spec = spec.ok_or_else(|| unknown(name, specs))?;
            tensors.push((spec.name.clone(), decode_tensor(spec, value, NAMED)?));
            Ok(())
        })?;
        return Ok(tensors);
    }
    let [spec] = specs else {
        let text = "inputs is a plain value/list, but expecting an object as multiple input tensors required";
        return Err(wrong(format!("{text}: {}", crate::tensor::names(specs))));
    };
    Ok(vec![(spec.name.clone(), decode_tensor(spec, json, elements::parse_all_with_base64)?)])
}

/// A reader of the elements of a value.
type ReadElements = fn(Datatype, &str) -> Result<Parsed, String>;

/// The reader of a value that has a name. Only there an object can be an element: elsewhere it names inputs.
const NAMED: ReadElements = elements::parse_all_with_base64_or_objects;

fn find<'a>(specs: &'a [TensorSpec], name: &str) -> Option<&'a TensorSpec> {
    specs.iter().find(|spec| *spec.name == *name)
}

fn unknown(name: &str, specs: &[TensorSpec]) -> DecodeError {
    let text = format!("JSON object: does not have named input: {}", crate::config::clip(name.to_owned()));
    match specs {
        [TensorSpec { name: input, datatype: Datatype::Bytes, .. }] => {
            wrong(format!("{text}; send an object that is the value of the input as {{\"{input}\": {{…}}}}"))
        }
        _ => wrong(text),
    }
}

fn decode_tensor(spec: &TensorSpec, json: &str, elements: ReadElements) -> Result<Tensor, DecodeError> {
    let (shape, data) = read(spec, json, elements)?;
    let tensor = Tensor::new(spec.datatype, shape, Bytes::from(data));
    tensor.map_err(|error| DecodeError::Tensor { input: spec.name.to_string(), error })
}

/// The shape of a value, which is that of its lists, and its bytes.
fn read(spec: &TensorSpec, json: &str, elements: ReadElements) -> Result<(Vec<u64>, Vec<u8>), DecodeError> {
    let parsed = elements(spec.datatype, json);
    let parsed = parsed.map_err(|problem| DecodeError::Data { input: spec.name.to_string(), problem })?;
    Ok((parsed.nesting, parsed.bytes))
}

/// The form of the values in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row {
    /// Tensors without their first dimension, which is the row.
    Tensors,
    /// Features: a value, or a flat list of values.
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
    /// The shape and bytes of a value that every row has.
    common: Option<(Vec<u64>, Vec<u8>)>,
}

impl<'a> Columns<'a> {
    pub fn new(specs: &'a [TensorSpec], bound: u64) -> Columns<'a> {
        let column = |spec| Column { spec, row: Vec::new(), rows: 0, data: Vec::new(), common: None };
        Columns { columns: specs.iter().map(column).collect(), rows: 0, bytes: 0, bound }
    }

    /// Adds a feature that every row has. It is read only once, because its text may be long and the rows many.
    pub fn add_common(&mut self, name: &str, json: &str) -> Result<(), DecodeError> {
        let column = find_column(&mut self.columns, name)?;
        if column.common.is_some() {
            return Err(wrong(format!("'context' has \"{name}\" twice")));
        }
        let (shape, data) = read(column.spec, json, NAMED)?;
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
        let (mut shape, data) = read(column.spec, json, NAMED)?;
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
            return Err(wrong(format!("item {item}: \"{name}\" appears twice")));
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
    if let Some(at) = columns.iter().position(|column| *column.spec.name == *name) {
        return Ok(&mut columns[at]);
    }
    Err(match columns {
        [only] => unknown(name, std::slice::from_ref(only.spec)),
        _ => unknown(name, &[]),
    })
}

/// Adds to the bytes of all rows, within `bound`. They can be more than the body, since every row repeats the context.
fn count(bytes: &mut u64, more: usize, bound: u64) -> Result<(), DecodeError> {
    *bytes += more as u64;
    if *bytes > bound {
        let bound = format_bytes(bound);
        return Err(wrong(format!("the rows together have more than {bound} (request-bytes of the tenant)")));
    }
    Ok(())
}

/// The shape of a feature in a row, which has one dimension at most. Clients may write a single value with or without a
/// list.
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

/// Calls `look` with the text of each element of a JSON array.
pub fn each(json: &str, mut look: impl FnMut(&str) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    JsonScanner::new(json.as_bytes()).array(|scanner| look(scanner.raw()?)).map_err(parse_error)
}

/// Calls `look` with the name and the text of each field of a JSON object.
pub fn each_entry(json: &str, mut look: impl FnMut(&str, &str) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    JsonScanner::new(json.as_bytes()).object(|scanner, name| look(name, scanner.raw()?)).map_err(parse_error)
}
