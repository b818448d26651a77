//! Loading a file that nobody vouched for: a child process tries it first (`bulkhead worker graph`) and tells how much the
//! graph keeps in memory. When there is room for that, what the child survived is loaded here. What a child told is
//! remembered with the host's compiled code.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::digest::digest_of;
use super::tract::Graph;
use super::{InputShapes, LoadError};
use crate::cache::{CacheKey, CacheKeyBuilder};
use crate::config::clip;
use crate::tenant::Reservation;
use crate::worker::{Job, Workers};

/// To be done with the bytes of an ONNX file.
#[derive(Serialize, Deserialize)]
pub struct TryGraph {
    shapes: InputShapes,
}

/// The part of what the child has grown by that the graph is taken to keep at the least. The rest is what loading needs
/// for a while, and what an allocator does not give back.
const KEPT_SHARE: u64 = 4;

impl Job for TryGraph {
    const NAME: &'static str = "graph";
    /// The bytes that the graph keeps in memory.
    type Answer = Result<u64, String>;

    fn work(self, bytes: &[u8]) -> (Self::Answer, Vec<u8>) {
        let before = own_memory();
        let loaded = Graph::load_onnx(bytes, &self.shapes);
        let answer = match &loaded {
            // Some operators keep tables where nobody else can count them.
            Ok(graph) => Ok(graph.resident_bytes().max(own_memory().saturating_sub(before) / KEPT_SHARE)),
            Err(error) => Err(clip(error.to_string())),
        };
        (answer, Vec::new())
    }
}

/// Bytes of this process that are in memory and in no file; none where the system does not tell.
fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

impl Graph {
    /// Counts what the graph keeps in memory before it is loaded in this process.
    pub async fn load_untrusted(
        bytes: &Bytes,
        shapes: &InputShapes,
        workers: &Workers,
        reservation: &mut Reservation,
    ) -> Result<Graph, LoadError> {
        let told = if workers.are_in_process() { 0 } else { try_out(bytes, shapes, workers).await? };
        reservation.add(told)?;
        let graph = Graph::load_onnx(bytes, shapes)?;
        reservation.add(graph.resident_bytes().saturating_sub(told))?;
        Ok(graph)
    }
}

async fn try_out(bytes: &Bytes, shapes: &InputShapes, workers: &Workers) -> Result<u64, LoadError> {
    let cached = workers.cache().map(|cache| (cache, tried(bytes, shapes)));
    let known = cached.as_ref().and_then(|(cache, name)| cache.get(name)?.as_ref().try_into().ok());
    if let Some(known) = known {
        return Ok(u64::from_le_bytes(known));
    }
    let (answer, _) = workers.run(TryGraph { shapes: shapes.clone() }, bytes).await?;
    let resident = answer.map_err(LoadError::Refused)?;
    if let Some((cache, name)) = cached {
        cache.put(&name, &[&resident.to_le_bytes()]);
    }
    Ok(resident)
}

/// The entry that is there when a child has loaded exactly this: the bytes that it keeps in memory, as eight bytes.
fn tried(bytes: &[u8], shapes: &InputShapes) -> CacheKey {
    CacheKeyBuilder::of("graph that loaded 2").part(digest_of(bytes, shapes)).finish()
}
