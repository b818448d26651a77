//! Loading a file that nobody vouched for: a child process tries it first (`bulkhead worker graph`), and what the child
//! survived is loaded here. That a file was tried is remembered with the host's compiled code.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Graph, InputShapes, LoadError};
use crate::cache::{Digest, EntryName, Naming, digest};
use crate::config::clip;
use crate::worker::{Job, Workers};

/// To be done with the bytes of an ONNX file.
#[derive(Serialize, Deserialize)]
pub struct TryGraph {
    shapes: InputShapes,
}

impl Job for TryGraph {
    const NAME: &'static str = "graph";
    type Answer = Result<(), String>;

    fn work(self, bytes: &[u8]) -> (Self::Answer, Vec<u8>) {
        let loaded = Graph::load_onnx(bytes, &self.shapes);
        (loaded.map(drop).map_err(|error| clip(error.to_string())), Vec::new())
    }
}

impl Graph {
    pub async fn load_untrusted(bytes: &Bytes, shapes: &InputShapes, workers: &Workers) -> Result<Graph, LoadError> {
        if !workers.are_in_process() {
            try_out(bytes, shapes, workers).await?;
        }
        Graph::load_onnx(bytes, shapes)
    }
}

async fn try_out(bytes: &Bytes, shapes: &InputShapes, workers: &Workers) -> Result<(), LoadError> {
    let cached = workers.cache().map(|cache| (cache, tried(bytes, shapes)));
    if cached.as_ref().is_some_and(|(cache, name)| cache.get(name).is_some()) {
        return Ok(());
    }
    let (answer, _) = workers.run(TryGraph { shapes: shapes.clone() }, bytes).await?;
    answer.map_err(LoadError::Refused)?;
    if let Some((cache, name)) = cached {
        cache.put(&name, &[]);
    }
    Ok(())
}

/// The entry that is there when a child has loaded exactly this.
fn tried(bytes: &[u8], shapes: &InputShapes) -> EntryName {
    Naming::of("graph that loaded 1").part(digest_of(bytes, shapes)).finish()
}

pub(super) fn digest_of(bytes: &[u8], shapes: &InputShapes) -> Digest {
    let mut name = Naming::of("graph").part(digest(bytes));
    for (input, shape) in shapes {
        name = name.part(input).number(shape.len() as u64);
        for dimension in shape {
            name = name.number(*dimension as u64);
        }
    }
    name.digest()
}
