//! Plain memory in place of the host, with the host's checks, so that a plugin that passes these checks natively also
//! passes them in the host.

use std::rc::Rc;

use crate::log::Level;
use crate::{Datatype, Inputs, Outputs, TensorSpec, testing};

pub(crate) struct Handle {
    datatype: Datatype,
    shape: Vec<u64>,
    data: Rc<[u8]>,
}

impl Handle {
    pub(crate) fn create(datatype: Datatype, shape: &[u64], data: &[u8]) -> Result<Handle, String> {
        let elements = element_count(shape)?;
        match width(datatype) {
            Some(width) if elements.checked_mul(width) != Some(data.len() as u64) => {
                return Err(format!(
                    "shape {shape:?} of {datatype:?} is {elements} elements of {width} bytes, and the data has {} bytes",
                    data.len()
                ));
            }
            None if count_byte_strings(data) != Some(elements) => {
                return Err(format!(
                    "shape {shape:?} of BYTES is {elements} elements, and the data holds another number"
                ));
            }
            _ => {}
        }
        Ok(Handle { datatype, shape: shape.to_vec(), data: data.into() })
    }

    pub(crate) fn describe(&self) -> (Datatype, Vec<u64>, u64) {
        (self.datatype, self.shape.clone(), self.data.len() as u64)
    }

    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, String> {
        let end = offset.checked_add(length).filter(|end| *end <= self.data.len() as u64);
        let end =
            end.ok_or_else(|| format!("{length} bytes from {offset} leave a tensor of {} bytes", self.data.len()))?;
        Ok(self.data[offset as usize..end as usize].to_vec())
    }

    pub(crate) fn reshape(&self, shape: &[u64]) -> Result<Handle, String> {
        let (old, new) = (element_count(&self.shape)?, element_count(shape)?);
        if old != new {
            return Err(format!("shape {shape:?} has {new} elements, and the tensor has {old}"));
        }
        Ok(Handle { datatype: self.datatype, shape: shape.to_vec(), data: self.data.clone() })
    }
}

fn element_count(shape: &[u64]) -> Result<u64, String> {
    shape
        .iter()
        .try_fold(1u64, |product, dimension| product.checked_mul(*dimension))
        .ok_or_else(|| format!("the product of shape {shape:?} overflows"))
}

fn width(datatype: Datatype) -> Option<u64> {
    use Datatype::*;
    match datatype {
        Bool | Uint8 | Int8 => Some(1),
        Uint16 | Int16 | Fp16 | Bf16 => Some(2),
        Uint32 | Int32 | Fp32 => Some(4),
        Uint64 | Int64 | Fp64 => Some(8),
        Bytes => None,
    }
}

fn count_byte_strings(mut data: &[u8]) -> Option<u64> {
    let mut count = 0;
    while !data.is_empty() {
        let (length, rest) = data.split_first_chunk::<4>()?;
        data = rest.get(u32::from_le_bytes(*length) as usize..)?;
        count += 1;
    }
    Some(count)
}

pub(crate) struct BuilderHandle {
    datatype: Datatype,
    shape: Vec<u64>,
    size: u64,
    data: Vec<u8>,
}

impl BuilderHandle {
    pub(crate) fn create(datatype: Datatype, shape: &[u64]) -> Result<BuilderHandle, String> {
        let width = width(datatype).ok_or("the tensor of datatype BYTES cannot be built in pieces")?;
        let size = element_count(shape)?.checked_mul(width).ok_or("the tensor is too large")?;
        Ok(BuilderHandle { datatype, shape: shape.to_vec(), size, data: Vec::new() })
    }

    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), String> {
        let room = self.size - self.data.len() as u64;
        if data.len() as u64 > room {
            return Err(format!("the tensor has room for {room} more bytes, and {} were appended", data.len()));
        }
        self.data.extend_from_slice(data);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Handle, String> {
        Handle::create(self.datatype, &self.shape, &self.data)
    }
}

pub(crate) struct OpenGraph(Rc<dyn Fn(Inputs) -> Result<Outputs, String>>);

impl OpenGraph {
    pub(crate) fn inputs(&self) -> Vec<TensorSpec> {
        Vec::new()
    }

    pub(crate) fn outputs(&self) -> Vec<TensorSpec> {
        Vec::new()
    }

    pub(crate) fn run(&self, inputs: Inputs) -> Result<Outputs, String> {
        (self.0)(inputs)
    }
}

pub(crate) fn open_graph(name: &str) -> Result<OpenGraph, String> {
    testing::find_graph(name)
        .map(OpenGraph)
        .ok_or_else(|| format!("no graph \"{name}\": put one there with bulkhead_guest::testing::graph"))
}

pub(crate) fn read_asset(path: &str) -> Result<Vec<u8>, String> {
    testing::find_asset(path)
        .ok_or_else(|| format!("no asset \"{path}\": put one there with bulkhead_guest::testing::asset"))
}

pub(crate) fn emit(outputs: Outputs) -> bool {
    testing::push_answer(outputs)
}

pub(crate) fn log(level: Level, message: &str) {
    testing::push_log(level, message);
}
