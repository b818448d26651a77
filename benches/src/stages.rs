//! Benchmarks of stages within the process: a fresh instance, a kernel inside and outside of the sandbox, a snapshot
//! compared with initialisation, and a whole model compared with its graph alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bulkhead::activation::{Activation, Activator, Bundle, Dependencies};
use bulkhead::cache::Cache;
use bulkhead::config::Config;
use bulkhead::pipeline::{Stage, StageContext, StageRun};
use bulkhead::runtime::onnx;
use bulkhead::sandbox::{Initialisation, Plugin, PluginSource, Sandbox};
use bulkhead::scheduler::{CallContext, Compute};
use bulkhead::telemetry::Metrics;
use bulkhead::tenant::{Budget, Capability, Reservation, Tenant};
use bulkhead::tensor::{Datatype, NamedTensors, Tensor};
use bulkhead::worker::Workers;
use bulkhead_bundle::{Bounds, Files};
use bulkhead_load::measure::{Aim, Comparison, alone, alternately};
use bytes::Bytes;
use image_to_tensor::kernel;
use serde_json::json;

use crate::Options;

/// Width and height of the picture that the kernel is measured on.
const SIDE: u64 = 224;

/// Size of the vocabulary, as in a real model.
const LABELS: usize = 30_000;

const FRESH: &str = "A fresh sandboxed stage that does nothing";
const TRAIT: &str = "A plugin as a stage of a pipeline, behind the trait and in its boxed future";
const KERNEL: &str = "image-to-tensor, 224x224x3 pixels to normalised FP32 planes";
const SNAPSHOT: &str = "classify with 30,000 labels";
const WHOLE: &str = "A whole digits request in process: PNG, two sandboxed plugins, the graph";

const ACTIVATION: &str = "Activating the digits bundle: two plugins, a graph";

pub(crate) async fn compare(options: &Options, comparisons: &mut Vec<Comparison>) -> Result<()> {
    let bench = Bench::new(options)?;
    if options.wants(FRESH) {
        comparisons.push(bench.fresh_stage().await?);
    }
    if options.wants(TRAIT) {
        comparisons.push(bench.boxed_stage().await?);
    }
    if options.wants(KERNEL) {
        comparisons.push(bench.kernel().await?);
    }
    if options.wants(SNAPSHOT) {
        comparisons.push(bench.snapshot().await?);
    }
    if options.wants(WHOLE) {
        comparisons.push(bench.whole_model(&options.program.models.join("digits")).await?);
    }
    if options.wants(ACTIVATION) {
        comparisons.push(bench.activation(&options.program.models.join("digits")).await?);
    }
    Ok(())
}

struct Bench<'a> {
    options: &'a Options,
    config: Config,
    sandbox: Sandbox,
    request: Arc<str>,
}

impl Bench<'_> {
    fn new(options: &Options) -> Result<Bench<'_>> {
        let config = Config::default();
        let sandbox = Sandbox::new(&config, Workers::in_process())?;
        Ok(Bench { options, config, sandbox, request: "bench".into() })
    }

    /// A stage that does nothing, in a fresh instance: the whole cost of isolation for one request.
    async fn fresh_stage(&self) -> Result<Comparison> {
        let plugin = self.plugin("identity", json!({}), Initialisation::Snapshot, BTreeMap::new()).await?;
        let inputs: NamedTensors = vec![("input".into(), floats(&[1.0; 4])?)];
        let ours = alone(self.options.rounds, async || {
            self.call(&plugin, &inputs).await;
        });
        let ours = ours.await;
        Ok(Comparison {
            what: FRESH,
            ours: ("new instance, call, result, end of instance", ours),
            other: ("8 µs, what is aimed for", 8.0),
            unit: "µs",
            aim: Some(Aim::AtMost(1.0)),
        })
    }

    /// Compares the cost of a stage's boxed future with the smallest call that a plugin can have.
    async fn boxed_stage(&self) -> Result<Comparison> {
        let plugin = self.plugin("identity", json!({}), Initialisation::Snapshot, BTreeMap::new()).await?;
        let (stage, call): (&dyn Stage, _) = (&plugin, CallContext::without_cores());
        let inputs: NamedTensors = vec![("input".into(), floats(&[1.0; 4])?)];
        let (ours, other) = alternately(
            self.options.rounds,
            async || {
                let mut budget = Budget::new(&self.config.call);
                let (request, parameters) = (&self.request, &Vec::new());
                let context = StageContext { call: &call, request, parameters, budget: &mut budget };
                let outputs = match stage.run(context, inputs.clone()) {
                    StageRun::Done(outputs) => outputs,
                    StageRun::Waiting(run) => run.await,
                };
                assert!(outputs.is_ok(), "{outputs:?}");
            },
            async || {
                self.call(&plugin, &inputs).await;
            },
        )
        .await;
        Ok(Comparison {
            what: TRAIT,
            ours: ("as a stage", ours),
            other: ("the plugin called directly", other),
            unit: "µs",
            aim: None,
        })
    }

    async fn kernel(&self) -> Result<Comparison> {
        let config = json!({ "width": SIDE, "height": SIDE, "input": "pixels" });
        let plugin = self.plugin("image_to_tensor", config, Initialisation::Snapshot, BTreeMap::new()).await?;
        let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|i| (i * 31 % 251) as u8).collect();
        let tensor = Tensor::new(Datatype::Uint8, vec![1, SIDE, SIDE, 3], Bytes::from(pixels.clone()))?;
        let inputs: NamedTensors = vec![("image".into(), tensor)];
        let scale = kernel::Affine { factor: 1.0 / 255.0, offset: 0.0 };
        let (ours, other) = alternately(
            self.options.rounds,
            async || {
                self.call(&plugin, &inputs).await;
            },
            async || {
                let mut planes = vec![0.0f32; pixels.len()];
                let (red, rest) = planes.split_at_mut(pixels.len() / 3);
                let (green, blue) = rest.split_at_mut(pixels.len() / 3);
                kernel::rgb_to_plane::<_, 0>(std::hint::black_box(&pixels), scale, red);
                kernel::rgb_to_plane::<_, 1>(std::hint::black_box(&pixels), scale, green);
                kernel::rgb_to_plane::<_, 2>(std::hint::black_box(&pixels), scale, blue);
                std::hint::black_box(planes);
            },
        )
        .await;
        Ok(Comparison {
            what: KERNEL,
            ours: ("sandboxed, copies in and out and the instance included", ours),
            other: ("the same code native", other),
            unit: "µs",
            aim: Some(Aim::AtMost(1.4)),
        })
    }

    async fn snapshot(&self) -> Result<Comparison> {
        let labels: String = (0..LABELS).map(|i| format!("label number {i}\n")).collect();
        let assets = || BTreeMap::from([("labels.txt".to_owned(), Bytes::from(labels.clone()))]);
        let config = || json!({ "labels": "labels.txt" });
        let snapshot = self.plugin("classify", config(), Initialisation::Snapshot, assets()).await?;
        let every_call = self.plugin("classify", config(), Initialisation::EveryCall, assets()).await?;
        let scores = Tensor::new(Datatype::Fp32, vec![1, LABELS as u64], vec![0; LABELS * 4].into())?;
        let inputs: NamedTensors = vec![("logits".into(), scores)];
        let (ours, other) = alternately(
            self.options.rounds,
            async || {
                self.call(&snapshot, &inputs).await;
            },
            async || {
                self.call(&every_call, &inputs).await;
            },
        )
        .await;
        Ok(Comparison {
            what: SNAPSHOT,
            ours: ("from the snapshot", ours),
            other: ("init in every call", other),
            unit: "µs",
            aim: None,
        })
    }

    async fn whole_model(&self, folder: &Path) -> Result<Comparison> {
        let metrics = Arc::new(Metrics::new()?);
        let compute = Compute::new(&self.config.compute, metrics.clone())?;
        let bundle = Bundle::read(Files::read_folder(folder, &Bounds::default())?)?;
        let activator = {
            let workers = Workers::in_process();
            let sandbox = Sandbox::new(&self.config, workers.clone())?;
            Activator { sandbox, workers, runners: None, metrics }
        };
        let (grants, others) = (bundle.manifest.imports().into_iter().collect(), Dependencies::new());
        let (tenant, report) = ("bench".into(), &|_: &str| ());
        let activation = Activation { tenant: &tenant, bundle: &bundle, grants: &grants, others: &others, report };
        let pipeline = Arc::new(activator.activate(&activation, Reservation::unlimited()).await?);
        let tenant = Arc::new(Tenant::new(&tenant, self.config.tenant.clone()));
        let permit = compute.admit(&tenant, Arc::default()).await?;
        let inputs: NamedTensors = vec![("image".into(), Tensor::byte_string(&a_picture()?))];
        let graph = onnx().load(bundle.files().get("digits.onnx").context("no digits.onnx")?, &BTreeMap::new())?;
        let picture = Tensor::new(Datatype::Fp32, vec![1, 1, 8, 8], vec![0; 256].into())?;
        let graph_inputs: NamedTensors = vec![("image".into(), picture)];
        let (ours, other) = alternately(
            self.options.rounds,
            async || {
                let outputs = pipeline.run(&permit, &self.request, inputs.clone(), &Vec::new()).await;
                std::hint::black_box(outputs.is_ok());
            },
            async || {
                let mut budget = Budget::new(&self.config.call);
                std::hint::black_box(graph.run(graph_inputs.clone(), &mut budget).is_ok());
            },
        )
        .await;
        Ok(Comparison {
            what: WHOLE,
            ours: ("pipeline", ours),
            other: ("the graph alone", other),
            unit: "µs",
            aim: None,
        })
    }

    /// The work of a start for each model, with and without artifacts that an earlier start kept.
    async fn activation(&self, folder: &Path) -> Result<Comparison> {
        let kept = tempfile::tempdir()?;
        let cache = Cache::open(kept.path().to_owned(), [0; 32], self.config.compile.cache_bytes);
        let workers = Workers::in_process().with_cache(cache);
        let sandbox = Sandbox::new(&self.config, workers.clone())?;
        let metrics = Arc::new(Metrics::new()?);
        let activator = Activator { sandbox, workers, runners: None, metrics };
        let bundle = Bundle::read(Files::read_folder(folder, &Bounds::default())?)?;
        let (grants, others) = (bundle.manifest.imports().into_iter().collect(), Dependencies::new());
        let (tenant, report) = ("bench".into(), &|_: &str| ());
        let activation = Activation { tenant: &tenant, bundle: &bundle, grants: &grants, others: &others, report };
        let started = Instant::now();
        activator.activate(&activation, Reservation::unlimited()).await?;
        let first = started.elapsed().as_secs_f64() * 1e6;
        let again = alone(self.options.rounds, async || {
            std::hint::black_box(activator.activate(&activation, Reservation::unlimited()).await.is_ok());
        });
        Ok(Comparison {
            what: ACTIVATION,
            ours: ("from the cache of compiled code", again.await),
            other: ("compiled, once", first),
            unit: "µs",
            aim: None,
        })
    }

    async fn plugin(
        &self,
        component: &str,
        config: serde_json::Value,
        initialisation: Initialisation,
        assets: BTreeMap<String, Bytes>,
    ) -> Result<Plugin> {
        let file = self.options.components.join(component).with_extension("wasm");
        let source = PluginSource {
            model: "bench".into(),
            stage: component.into(),
            component: fs::read(&file).with_context(|| file.display().to_string())?.into(),
            config,
            initialisation,
            grants: [Capability::Assets].into_iter().collect(),
            assets,
            graphs: BTreeMap::new(),
        };
        Ok(self.sandbox.activate(source).await?)
    }

    async fn call(&self, plugin: &Plugin, inputs: &NamedTensors) {
        let mut budget = Budget::new(&self.config.call);
        let (outputs, _remains) = plugin.call(&self.request, inputs.clone(), &Vec::new(), &mut budget).await;
        assert!(outputs.is_ok(), "{outputs:?}");
    }
}

fn floats(values: &[f32]) -> Result<Tensor> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(Tensor::new(Datatype::Fp32, vec![values.len() as u64], bytes.into())?)
}

/// A held-out digit of the example, as a PNG file.
pub(crate) fn a_picture() -> Result<Vec<u8>> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("not run by cargo")?;
    let folder = Path::new(&package).join("../examples/digits/held-out");
    let mut pictures: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    pictures.sort();
    Ok(fs::read(pictures.first().context("no pictures")?)?)
}
