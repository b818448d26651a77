//! The cached result of activating a plugin: its code, its signature, and how its instances begin. The key of an entry
//! covers every input that affects the result and nothing else, so two bundles with the same component and configuration
//! share one entry.

use std::hash::{Hash, Hasher};

use bulkhead_digest::Digest;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use super::engine::Limits;
use super::{Initialisation, NoSnapshot, PluginSource};
use crate::cache::{Cache, CacheKey, CacheKeyBuilder};
use crate::tenant::Capability;
use crate::tensor::{Datatype, Signature, TensorSpec};
use crate::worker::frame;

/// The format of an entry; a different number makes all older entries unknown.
const FORMAT: &str = "plugin 2";

/// An activated plugin without the parts that are not cached: its links, and the bundle's files.
pub(crate) struct Artifact {
    pub signature: Signature,
    pub initialisation: Initialisation,
    pub no_snapshot: Option<NoSnapshot>,
    pub code: Bytes,
}

/// The header of an entry; the code follows it.
#[derive(Serialize, Deserialize)]
struct Head {
    snapshot: bool,
    no_snapshot: Option<NoSnapshot>,
    inputs: Vec<Spec>,
    outputs: Vec<Spec>,
}

#[derive(Serialize, Deserialize)]
struct Spec {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

impl Artifact {
    pub(super) fn find(cache: &Cache, name: &CacheKey) -> Option<Artifact> {
        let (head, code) = frame::parse::<Head>(cache.get(name)?).ok()?;
        let initialisation = if head.snapshot { Initialisation::Snapshot } else { Initialisation::EveryCall };
        let signature = Signature { inputs: from_saved(head.inputs)?, outputs: from_saved(head.outputs)? };
        Some(Artifact { signature, initialisation, no_snapshot: head.no_snapshot, code })
    }

    pub(super) fn keep(&self, cache: &Cache, name: &CacheKey) {
        let head = Head {
            snapshot: self.initialisation == Initialisation::Snapshot,
            no_snapshot: self.no_snapshot,
            inputs: to_saved(&self.signature.inputs),
            outputs: to_saved(&self.signature.outputs),
        };
        match frame::head(&head, &self.code) {
            Ok(head) => cache.put(name, &[&head, &self.code]),
            Err(error) => tracing::warn!(%error, "a plugin could not be cached; the next start makes it again"),
        }
    }
}

/// The cache key of a plugin, or `None` if the next start must not reuse its result: a snapshot that has seen the time of
/// day or random numbers is made anew at every start.
pub(crate) fn name(engine: &Engine, limits: &Limits, source: &PluginSource, config: &str) -> Option<CacheKey> {
    let snapshot = source.initialisation == Initialisation::Snapshot;
    let fleeting = source.grants.has(Capability::Clocks) || source.grants.has(Capability::Random);
    if snapshot && fleeting {
        return None;
    }
    let mut name =
        CacheKeyBuilder::of(FORMAT).part(compatibility(engine)).part(Digest::of(&source.component)).part(config);
    name = name.number(snapshot.into());
    let init = &limits.init;
    for limit in [init.fuel, init.memory, crate::numbers::milliseconds(init.time), init.log, limits.stack] {
        name = name.number(limit);
    }
    for capability in Capability::ALL {
        name = name.number(source.grants.has(capability).into());
    }
    name = name.number(source.assets.len() as u64);
    for (path, content) in &source.assets {
        name = name.part(path).part(Digest::of(content));
    }
    for (graph, loaded) in &source.graphs {
        name = name.part(graph).part(loaded.digest());
    }
    Some(name.finish())
}

/// wasmtime's version, the processor's features, and every setting that affects the generated code.
pub(crate) fn compatibility(engine: &Engine) -> Vec<u8> {
    let mut collected = Collected(Vec::new());
    engine.precompile_compatibility_hash().hash(&mut collected);
    collected.0
}

/// A hasher that keeps its input: the standard library's hashes are too short for a cache key, and may differ from one
/// build to the next.
struct Collected(Vec<u8>);

impl Hasher for Collected {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

fn to_saved(specs: &[TensorSpec]) -> Vec<Spec> {
    let spec = |spec: &TensorSpec| Spec {
        name: spec.name.to_string(),
        datatype: spec.datatype.name().into(),
        shape: spec.shape.clone(),
    };
    specs.iter().map(spec).collect()
}

fn from_saved(specs: Vec<Spec>) -> Option<Vec<TensorSpec>> {
    let spec = |spec: Spec| {
        let datatype = Datatype::from_name(&spec.datatype)?;
        Some(TensorSpec { name: spec.name.into(), datatype, shape: spec.shape })
    };
    specs.into_iter().map(spec).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sandbox::compile::code_settings;
    use crate::sandbox::engine;

    fn source() -> PluginSource {
        PluginSource {
            model: "model".into(),
            stage: "stage".into(),
            component: Bytes::from_static(b"component"),
            config: serde_json::json!({}),
            initialisation: Initialisation::Snapshot,
            grants: [Capability::Assets].into_iter().collect(),
            assets: [("a".to_owned(), Bytes::from_static(b"asset"))].into(),
            graphs: Default::default(),
        }
    }

    fn limits() -> Limits {
        Limits::of(&crate::config::Config::default())
    }

    /// A child's engine has no instance pool, but an engine with a pool must be able to load its code.
    #[test]
    fn the_engine_of_a_child_makes_code_for_that_of_the_host() {
        let host = Engine::new(&engine::settings(&crate::config::Config::default())).unwrap();
        let child = Engine::new(&code_settings()).unwrap();
        assert_eq!(compatibility(&host), compatibility(&child));
        let other = Engine::new(code_settings().consume_fuel(false)).unwrap();
        assert_ne!(compatibility(&other), compatibility(&child));
    }

    #[test]
    fn every_input_of_the_result_changes_the_key() {
        let engine = Engine::new(&code_settings()).unwrap();
        let name = |source: &PluginSource, config: &str, limits: &Limits| name(&engine, limits, source, config);
        let first = name(&source(), "{}", &limits());
        assert!(first.is_some());
        let stranger = PluginSource { model: Arc::from("other"), stage: Arc::from("other"), ..source() };
        assert_eq!(name(&stranger, "{}", &limits()), first, "another bundle's same plugin");
        let mut others = vec![name(&source(), "[]", &limits())];
        others.push(name(&PluginSource { component: Bytes::from_static(b"c"), ..source() }, "{}", &limits()));
        others.push(name(&PluginSource { initialisation: Initialisation::EveryCall, ..source() }, "{}", &limits()));
        others.push(name(&PluginSource { grants: Default::default(), ..source() }, "{}", &limits()));
        others.push(name(&PluginSource { assets: Default::default(), ..source() }, "{}", &limits()));
        let asset = [("a".to_owned(), Bytes::from_static(b"other"))];
        others.push(name(&PluginSource { assets: asset.into(), ..source() }, "{}", &limits()));
        let mut tighter = limits();
        tighter.init.fuel -= 1;
        others.push(name(&source(), "{}", &tighter));
        for (at, other) in others.iter().enumerate() {
            assert!(other.is_some() && *other != first && !others[..at].contains(other), "number {at}");
        }
    }

    #[test]
    fn a_snapshot_that_saw_the_clock_is_not_kept() {
        let engine = Engine::new(&code_settings()).unwrap();
        let clocks = PluginSource { grants: [Capability::Clocks].into_iter().collect(), ..source() };
        assert_eq!(name(&engine, &limits(), &clocks, "{}"), None);
        let every_call = PluginSource { initialisation: Initialisation::EveryCall, ..clocks };
        assert!(name(&engine, &limits(), &every_call, "{}").is_some());
    }
}
