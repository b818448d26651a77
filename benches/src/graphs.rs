//! Runs of graphs in a runner compared with runs in this process: what the hop to another process and the copies of tensors
//! cost.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result};
use bulkhead::config::Config;
use bulkhead::runtime::{InputShapes, Model, Runners, onnx};
use bulkhead::telemetry::Metrics;
use bulkhead::tenant::Budget;
use bulkhead::tensor::{Datatype, NamedTensors, Tensor};
use bulkhead_load::measure::{Comparison, alternately};

use crate::Options;

/// A graph, as the file of an example or of a test.
enum Graph {
    /// A small network over rows of 64 numbers.
    Digits,
    /// One element-wise operator over a vector.
    Vector,
}

const COMPARISONS: [(&str, Graph, u64); 3] = [
    ("The digits graph over one row, 256 bytes", Graph::Digits, 1),
    ("A graph of one operator over 600 KB", Graph::Vector, 150_000),
    ("The digits graph over 2,000 rows, 512 KB", Graph::Digits, 2_000),
];

pub(crate) async fn compare(options: &Options, comparisons: &mut Vec<Comparison>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (config, metrics) = (Config::default(), Arc::new(Metrics::new()?));
    let program = fs::canonicalize(&options.program.host).context("the host's program")?;
    let runners = Runners::of_program(Some(program), &config, folder.path(), metrics);
    for (what, graph, size) in COMPARISONS {
        if !options.wants(what) {
            continue;
        }
        let (file, name, shape) = match graph {
            Graph::Digits => {
                (fs::read(options.program.models.join("digits/digits.onnx"))?, "image", vec![size, 1, 8, 8])
            }
            Graph::Vector => (include_bytes!("../../tests/hostile/graphs/honest/graph.onnx").to_vec(), "x", vec![size]),
        };
        let shapes = InputShapes::new();
        let isolated = runners.load(&"bench".into(), u64::MAX >> 2, &file, &shapes)?;
        let direct = onnx().load(&file, &shapes)?;
        let bytes = usize::try_from(shape.iter().product::<u64>())? * 4;
        let inputs: NamedTensors = vec![(name.into(), Tensor::new(Datatype::Fp32, shape, vec![0; bytes].into())?)];
        run(&*isolated, &inputs, &config).context(what)?;
        let (ours, other) = alternately(
            options.rounds,
            async || {
                std::hint::black_box(run(&*isolated, &inputs, &config).is_ok());
            },
            async || {
                std::hint::black_box(run(&*direct, &inputs, &config).is_ok());
            },
        )
        .await;
        comparisons.push(Comparison {
            what,
            ours: ("in a runner", ours),
            other: ("in the host's process", other),
            unit: "µs",
            aim: None,
        });
    }
    Ok(())
}

fn run(model: &dyn Model, inputs: &NamedTensors, config: &Config) -> Result<NamedTensors> {
    Ok(model.run(inputs.clone(), &mut Budget::new(&config.call))?)
}
