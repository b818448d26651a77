//! `/v2/models[/M[/versions/V]]/stats`: what a version of a model did since it was activated, in Triton's fields.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::catalog::NotServed;
use crate::pipeline::Pipeline;
use crate::telemetry::Counted;

#[derive(Serialize, ToSchema)]
pub struct StatisticsReply {
    model_stats: Vec<ModelStatistics>,
}

#[derive(Serialize, ToSchema)]
struct ModelStatistics {
    name: String,
    version: String,
    /// Milliseconds since 1970; 0 before the first.
    last_inference: u64,
    inference_count: u64,
    execution_count: u64,
    inference_stats: InferenceStatistics,
    /// Of requests with more than one answer.
    response_stats: NoResponses,
    batch_stats: Vec<BatchStatistics>,
    memory_usage: Vec<MemoryUsage>,
}

#[derive(Serialize, ToSchema)]
struct NoResponses {}

#[derive(Serialize, ToSchema)]
struct InferenceStatistics {
    success: Duration,
    fail: Duration,
    queue: Duration,
    compute_input: Duration,
    compute_infer: Duration,
    compute_output: Duration,
    /// There is no cache.
    cache_hit: Duration,
    cache_miss: Duration,
}

/// No request waits for another's tensors: every batch is of one.
#[derive(Serialize, ToSchema)]
struct BatchStatistics {
    batch_size: u64,
    compute_input: Duration,
    compute_infer: Duration,
    compute_output: Duration,
}

/// Of devices; models run where the host does.
#[derive(Serialize, ToSchema)]
struct MemoryUsage {
    r#type: String,
    id: i64,
    byte_size: u64,
}

#[derive(Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = DurationStatistics)]
struct Duration {
    count: u64,
    ns: u64,
}

impl From<Counted> for Duration {
    fn from(counted: Counted) -> Self {
        Duration { count: counted.count, ns: counted.nanoseconds }
    }
}

impl App {
    /// Of all models, of all versions of one, or of one version.
    pub fn statistics(&self, model: Option<&str>, version: Option<&str>) -> Result<StatisticsReply, NotServed> {
        let model_stats = match (model, version) {
            (Some(model), Some(_)) => vec![statistics(&*self.catalog.find(model, version)?)],
            _ => {
                model.map(|model| self.catalog.find(model, None)).transpose()?;
                let all = self.catalog.all().into_iter().filter_map(|listed| listed.pipeline.ok());
                let wanted = all.filter(|pipeline| model.is_none_or(|model| *pipeline.model == *model));
                wanted.map(|pipeline| statistics(&pipeline)).collect()
            }
        };
        Ok(StatisticsReply { model_stats })
    }
}

fn statistics(pipeline: &Pipeline) -> ModelStatistics {
    let read = pipeline.metrics.statistics.read();
    let (compute_input, compute_infer, compute_output) = (read.input.into(), read.infer.into(), read.output.into());
    let batch = BatchStatistics { batch_size: 1, compute_input, compute_infer, compute_output };
    ModelStatistics {
        name: pipeline.model.to_string(),
        version: pipeline.version.to_string(),
        last_inference: read.last_inference,
        inference_count: read.success.count,
        execution_count: read.success.count,
        inference_stats: InferenceStatistics {
            success: read.success.into(),
            fail: read.fail.into(),
            queue: read.queue.into(),
            compute_input,
            compute_infer,
            compute_output,
            cache_hit: Duration::default(),
            cache_miss: Duration::default(),
        },
        response_stats: NoResponses {},
        batch_stats: if read.success.count > 0 { vec![batch] } else { Vec::new() },
        memory_usage: Vec::new(),
    }
}
