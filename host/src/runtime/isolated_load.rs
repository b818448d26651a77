//! Loading of an untrusted file. A child process loads it first (`bulkhead worker graph`), and reports how much memory the
//! graph keeps. If that much memory is left, the file is then loaded in the runner of its tenant, or in this process. The
//! child's report is stored with the host's compiled code.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::digest::digest_of;
use super::{InputShapes, LoadError, Model, Runners, onnx};
use crate::cache::{CacheKey, CacheKeyBuilder};
use crate::config::clip;
use crate::tenant::Reservation;
use crate::worker::{Job, OwnMemory, Workers};

/// The job of loading a graph from the bytes of an ONNX file.
#[derive(Serialize, Deserialize)]
pub struct TryGraph {
    shapes: InputShapes,
}

/// Divisor of the growth of the child's memory: the graph is assumed to keep at least this part of it. The rest is what
/// loading needs for a while, and what an allocator does not give back.
const KEPT_SHARE: u64 = 4;

impl Job for TryGraph {
    const NAME: &'static str = "graph";
    /// The bytes that the graph keeps in memory, or the reason why it cannot be loaded.
    type Answer = Result<u64, String>;

    fn work(self, bytes: &[u8], memory: &OwnMemory) -> (Self::Answer, Vec<u8>) {
        let before = memory.bytes();
        let loaded = onnx().load(bytes, &self.shapes);
        let answer = match &loaded {
            // Some operators keep tables that cannot be counted from outside.
            Ok(graph) => Ok(graph.resident_bytes().max(memory.bytes().saturating_sub(before) / KEPT_SHARE)),
            Err(error) => Err(clip(error.to_string())),
        };
        (answer, Vec::new())
    }
}

/// Loads a graph of a tenant after a child has loaded it, and first counts in `reservation` the memory that it will keep. It
/// runs in the tenant's runner, or without `runners` in this process. If neither children nor runners are used, the memory
/// is counted after loading.
pub async fn load_untrusted(
    tenant: &Arc<str>,
    bytes: &Bytes,
    shapes: &InputShapes,
    workers: &Workers,
    runners: Option<&Runners>,
    reservation: &mut Reservation,
) -> Result<Arc<dyn Model>, LoadError> {
    let reported = if workers.are_in_process() { 0 } else { try_out(bytes, shapes, workers).await? };
    reservation.add(reported)?;
    let graph = match runners.cloned() {
        None => onnx().load(bytes, shapes)?,
        Some(runners) => {
            let (tenant, bytes, shapes, bound) = (tenant.clone(), bytes.clone(), shapes.clone(), reservation.bound());
            let loading = tokio::task::spawn_blocking(move || runners.load(&tenant, bound, &bytes, &shapes));
            loading.await.map_err(|_| LoadError::Panicked)??
        }
    };
    reservation.add(graph.resident_bytes().saturating_sub(reported))?;
    Ok(graph)
}

async fn try_out(bytes: &Bytes, shapes: &InputShapes, workers: &Workers) -> Result<u64, LoadError> {
    let cached = workers.cache().map(|cache| (cache, tried(bytes, shapes)));
    let known = cached.as_ref().and_then(|(cache, key)| cache.get(key)?.as_ref().try_into().ok());
    if let Some(known) = known {
        return Ok(u64::from_le_bytes(known));
    }
    let (answer, _) = workers.run(TryGraph { shapes: shapes.clone() }, bytes).await?;
    let resident = answer.map_err(LoadError::Refused)?;
    if let Some((cache, key)) = cached {
        cache.put(&key, &[&resident.to_le_bytes()]);
    }
    Ok(resident)
}

/// The key of an entry that exists if a child has loaded exactly this file with these shapes. Its content is the number of
/// bytes that the graph keeps in memory, in eight bytes.
fn tried(bytes: &[u8], shapes: &InputShapes) -> CacheKey {
    CacheKeyBuilder::of("graph that loaded 2").part(digest_of(bytes, shapes)).finish()
}
