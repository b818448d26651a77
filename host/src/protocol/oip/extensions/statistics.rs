//! `/v2/models[/M[/versions/V]]/stats`: the statistics of a model's versions since their activation, in Triton's fields.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::catalog::LookupError;
use crate::inference::DataPlane;
use crate::inference::call::Client;
use crate::pipeline::Pipeline;
use crate::telemetry::{BatchSnapshot, DurationStats};

#[derive(Serialize, ToSchema)]
pub(crate) struct StatisticsReply {
    model_stats: Vec<ModelStatistics>,
}

#[derive(Serialize, ToSchema)]
struct ModelStatistics {
    name: String,
    version: String,
    /// Time of the last request, in milliseconds since 1970; 0 before the first.
    last_inference: u64,
    /// Number of rows; for a model without a batch, of requests.
    inference_count: u64,
    execution_count: u64,
    inference_stats: InferenceStatistics,
    /// Always empty: there are no statistics of single responses.
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
    /// Always 0, because there is no cache of responses.
    cache_hit: Duration,
    cache_miss: Duration,
}

/// Statistics of the requests with `batch_size` rows. Requests are not batched together.
#[derive(Serialize, ToSchema)]
struct BatchStatistics {
    batch_size: u64,
    compute_input: Duration,
    compute_infer: Duration,
    compute_output: Duration,
}

/// Memory used on a device. There are none: models run on the CPU.
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

impl From<DurationStats> for Duration {
    fn from(counted: DurationStats) -> Self {
        Duration { count: counted.count, ns: counted.nanoseconds }
    }
}

/// The statistics of all models that a client may call, of all versions of `model`, or of one version.
pub(crate) fn of(
    data_plane: &DataPlane,
    client: &Client,
    model: Option<&str>,
    version: Option<&str>,
) -> Result<StatisticsReply, LookupError> {
    let counted = counted(data_plane, client, model, version)?;
    Ok(StatisticsReply { model_stats: counted.iter().map(|pipeline| statistics(pipeline)).collect() })
}

/// The versions whose statistics a client asks for, over any protocol.
pub(crate) fn counted(
    data_plane: &DataPlane,
    client: &Client,
    model: Option<&str>,
    version: Option<&str>,
) -> Result<Vec<Arc<Pipeline>>, LookupError> {
    let all = data_plane.catalog.list(client.tenant()).into_iter();
    let wanted = all.filter(|listed| model.is_none_or(|model| *listed.model == *model));
    let served: Vec<Arc<Pipeline>> = wanted.filter_map(|listed| listed.entry.ready().cloned()).collect();
    let found = match model.map(|model| data_plane.find(client, model, version)) {
        // All versions are meant, so it does not matter that requests without a version go to none of them.
        Some(Err(LookupError::OnlyPreReleases { .. } | LookupError::RouteGone { .. })) if version.is_none() => None,
        Some(Err(LookupError::Withheld { .. })) if version.is_none() && !served.is_empty() => None,
        found => found.transpose()?,
    };
    if let (Some(found), Some(_)) = (found, version) {
        return Ok(vec![found]);
    }
    Ok(served)
}

fn statistics(pipeline: &Pipeline) -> ModelStatistics {
    let read = pipeline.metrics.statistics.read();
    let batch = |batch: &BatchSnapshot| BatchStatistics {
        batch_size: batch.rows,
        compute_input: batch.input.into(),
        compute_infer: batch.infer.into(),
        compute_output: batch.output.into(),
    };
    ModelStatistics {
        name: pipeline.model.to_string(),
        version: pipeline.version.to_string(),
        last_inference: read.last_inference,
        inference_count: read.rows,
        execution_count: read.success.count,
        inference_stats: InferenceStatistics {
            success: read.success.into(),
            fail: read.fail.into(),
            queue: read.queue.into(),
            compute_input: read.input.into(),
            compute_infer: read.infer.into(),
            compute_output: read.output.into(),
            cache_hit: Duration::default(),
            cache_miss: Duration::default(),
        },
        response_stats: NoResponses {},
        batch_stats: read.batches.iter().map(batch).collect(),
        memory_usage: Vec::new(),
    }
}
