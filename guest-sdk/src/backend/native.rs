//! Plain memory in place of the host, with the host's checks, so that a plugin that passes these checks natively also
//! passes them in the host. The limits of a call are the host's alone.

use std::rc::Rc;

use bulkhead_tensor::{TensorBuilder, check_data, check_range, check_reshape};

use crate::log::Level;
use crate::{Datatype, Inputs, Outputs, TensorSpec, testing};

pub(crate) struct Handle {
    datatype: Datatype,
    shape: Vec<u64>,
    data: Rc<[u8]>,
}

impl Handle {
    pub(crate) fn create(datatype: Datatype, shape: &[u64], data: &[u8]) -> Result<Handle, String> {
        check_data(datatype, shape, data).map_err(|error| error.sentence())?;
        Ok(Handle { datatype, shape: shape.to_vec(), data: data.into() })
    }

    pub(crate) fn describe(&self) -> (Datatype, Vec<u64>, u64) {
        (self.datatype, self.shape.clone(), self.data.len() as u64)
    }

    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, String> {
        let range = check_range(self.data.len(), offset, length).map_err(|error| error.sentence())?;
        Ok(self.data.get(range).unwrap_or_default().to_vec())
    }

    pub(crate) fn reshape(&self, shape: &[u64]) -> Result<Handle, String> {
        check_reshape(&self.shape, shape).map_err(|error| error.sentence())?;
        Ok(Handle { datatype: self.datatype, shape: shape.to_vec(), data: self.data.clone() })
    }
}

pub(crate) struct BuilderHandle(TensorBuilder);

impl BuilderHandle {
    pub(crate) fn create(datatype: Datatype, shape: &[u64]) -> Result<BuilderHandle, String> {
        TensorBuilder::new(datatype, shape.to_vec()).map(BuilderHandle).map_err(|error| error.sentence())
    }

    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), String> {
        self.0.append(data).map_err(|error| error.sentence())
    }

    pub(crate) fn finish(self) -> Result<Handle, String> {
        let (datatype, shape, data) = self.0.into_parts();
        Handle::create(datatype, &shape, &data)
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
