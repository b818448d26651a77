//! `inference.GRPCInferenceService`, call by call.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::infer::{self, Answers};
use super::message::RawMessage;
use super::pb::inference as pb;
use super::pb::inference::grpc_inference_service_server::GrpcInferenceService;
use super::{config, pb::inference::repository_index_response::ModelIndex};
use crate::api::describe::{self, Statistics, Timing};
use crate::api::refusal::Problem;
use crate::api::{App, Shutdown};
use crate::pipeline::Pipeline;
use crate::tensor::TensorSpec;

pub struct Inference {
    pub app: Arc<App>,
    pub shutdown: Shutdown,
}

type Answered<T> = Result<Response<T>, Status>;

impl Inference {
    fn find<T>(&self, request: &Request<T>, model: &str, version: &str) -> Result<Arc<Pipeline>, Status> {
        let found = self.app.catalog.find(model, given(version));
        found.map_err(|not_served| refuse(request, not_served.into()))
    }
}

/// An empty text is none in protocol buffers.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn refuse<T>(request: &Request<T>, problem: Problem) -> Status {
    match Caller::of(request) {
        Ok(caller) => caller.refuse(problem),
        Err(status) => status,
    }
}

fn not_supported<T, A>(request: &Request<T>, what: &'static str, why: &'static str) -> Answered<A> {
    Err(refuse(request, Problem::NotSupported { what, why }))
}

/// Whoever may name memory of the host's machine can read and write what is not theirs.
fn no_shared_memory<T, A>(request: &Request<T>) -> Answered<A> {
    let why = "this host maps no memory of other processes; send tensors in the messages";
    not_supported(request, "shared memory", why)
}

fn no_repository_control<T, A>(request: &Request<T>) -> Answered<A> {
    let why = "models come and go with their bundles, which the operator activates";
    not_supported(request, "loading and unloading models", why)
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, _: Request<pb::ServerLiveRequest>) -> Answered<pb::ServerLiveResponse> {
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<pb::ServerReadyRequest>) -> Answered<pb::ServerReadyResponse> {
        Ok(Response::new(pb::ServerReadyResponse { ready: self.app.catalog.all_ready() }))
    }

    async fn model_ready(&self, request: Request<pb::ModelReadyRequest>) -> Answered<pb::ModelReadyResponse> {
        let pb::ModelReadyRequest { name, version } = request.get_ref();
        // Whoever waits for a model asks before there is one: that is no error.
        let ready = self.app.catalog.find(name, given(version)).is_ok();
        Ok(Response::new(pb::ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, _: Request<pb::ServerMetadataRequest>) -> Answered<pb::ServerMetadataResponse> {
        Ok(Response::new(pb::ServerMetadataResponse {
            name: describe::NAME.into(),
            version: describe::VERSION.into(),
            extensions: describe::EXTENSIONS.map(Into::into).into(),
        }))
    }

    async fn model_metadata(&self, request: Request<pb::ModelMetadataRequest>) -> Answered<pb::ModelMetadataResponse> {
        let pb::ModelMetadataRequest { name, version } = request.get_ref();
        let pipeline = self.find(&request, name, version)?;
        Ok(Response::new(pb::ModelMetadataResponse {
            name: pipeline.model.to_string(),
            versions: self.app.catalog.ready_versions(&pipeline.model),
            platform: describe::PLATFORM.into(),
            inputs: pipeline.signature.inputs.iter().map(metadata).collect(),
            outputs: pipeline.signature.outputs.iter().map(metadata).collect(),
        }))
    }

    async fn model_infer(&self, request: Request<RawMessage>) -> Answered<pb::ModelInferResponse> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(infer::infer(&caller, request.into_inner().0).await?))
    }

    type ModelStreamInferStream = Answers;

    async fn model_stream_infer(&self, request: Request<Streaming<RawMessage>>) -> Answered<Answers> {
        let caller = Caller::of(&request)?;
        Ok(infer::infer_stream(caller, request, &self.shutdown))
    }

    async fn model_config(&self, request: Request<pb::ModelConfigRequest>) -> Answered<pb::ModelConfigResponse> {
        let pb::ModelConfigRequest { name, version } = request.get_ref();
        let pipeline = self.find(&request, name, version)?;
        Ok(Response::new(pb::ModelConfigResponse { config: Some(config::of(&pipeline)) }))
    }

    async fn model_statistics(
        &self,
        request: Request<pb::ModelStatisticsRequest>,
    ) -> Answered<pb::ModelStatisticsResponse> {
        let pb::ModelStatisticsRequest { name, version } = request.get_ref();
        let found = self.app.statistics(name, given(version));
        let found = found.map_err(|not_served| refuse(&request, not_served.into()))?;
        let model_stats = found.into_iter().map(statistics).collect();
        Ok(Response::new(pb::ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<pb::RepositoryIndexRequest>,
    ) -> Answered<pb::RepositoryIndexResponse> {
        let only_ready = request.get_ref().ready;
        let listed = self.app.index().into_iter().filter(|listed| !only_ready || listed.failed.is_none());
        let models = listed.map(|listed| ModelIndex {
            name: listed.model.to_string(),
            version: listed.version,
            state: if listed.failed.is_none() { "READY" } else { "UNAVAILABLE" }.into(),
            reason: listed.failed.map(|reason| reason.to_string()).unwrap_or_default(),
        });
        Ok(Response::new(pb::RepositoryIndexResponse { models: models.collect() }))
    }

    async fn repository_model_load(
        &self,
        request: Request<pb::RepositoryModelLoadRequest>,
    ) -> Answered<pb::RepositoryModelLoadResponse> {
        no_repository_control(&request)
    }

    async fn repository_model_unload(
        &self,
        request: Request<pb::RepositoryModelUnloadRequest>,
    ) -> Answered<pb::RepositoryModelUnloadResponse> {
        no_repository_control(&request)
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<pb::SystemSharedMemoryStatusRequest>,
    ) -> Answered<pb::SystemSharedMemoryStatusResponse> {
        no_shared_memory(&request)
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<pb::SystemSharedMemoryRegisterRequest>,
    ) -> Answered<pb::SystemSharedMemoryRegisterResponse> {
        no_shared_memory(&request)
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<pb::SystemSharedMemoryUnregisterRequest>,
    ) -> Answered<pb::SystemSharedMemoryUnregisterResponse> {
        no_shared_memory(&request)
    }

    async fn cuda_shared_memory_status(
        &self,
        request: Request<pb::CudaSharedMemoryStatusRequest>,
    ) -> Answered<pb::CudaSharedMemoryStatusResponse> {
        no_shared_memory(&request)
    }

    async fn cuda_shared_memory_register(
        &self,
        request: Request<pb::CudaSharedMemoryRegisterRequest>,
    ) -> Answered<pb::CudaSharedMemoryRegisterResponse> {
        no_shared_memory(&request)
    }

    async fn cuda_shared_memory_unregister(
        &self,
        request: Request<pb::CudaSharedMemoryUnregisterRequest>,
    ) -> Answered<pb::CudaSharedMemoryUnregisterResponse> {
        no_shared_memory(&request)
    }

    async fn trace_setting(&self, request: Request<pb::TraceSettingRequest>) -> Answered<pb::TraceSettingResponse> {
        let why = "this host writes no traces of requests; its log has each refusal, and /metrics each stage's time";
        not_supported(&request, "trace settings", why)
    }

    async fn log_settings(&self, request: Request<pb::LogSettingsRequest>) -> Answered<pb::LogSettingsResponse> {
        not_supported(&request, "log settings", "the operator sets them when the host starts (log.level, log.format)")
    }
}

fn metadata(spec: &TensorSpec) -> pb::model_metadata_response::TensorMetadata {
    pb::model_metadata_response::TensorMetadata {
        name: spec.name.to_string(),
        datatype: spec.datatype.name().into(),
        shape: spec.shape.clone(),
    }
}

fn statistics(counted: Statistics) -> pb::ModelStatistics {
    let duration =
        |timing: Timing| Some(pb::StatisticDuration { count: timing.count, ns: timing.time.as_nanos() as u64 });
    let nothing = duration(Timing::default());
    pb::ModelStatistics {
        name: counted.model,
        version: counted.version,
        inference_count: counted.success.count,
        execution_count: counted.infer.count,
        inference_stats: Some(pb::InferStatistics {
            success: duration(counted.success),
            fail: duration(counted.fail),
            queue: nothing,
            compute_input: nothing,
            compute_infer: duration(counted.infer),
            compute_output: nothing,
            cache_hit: nothing,
            cache_miss: nothing,
        }),
        ..Default::default()
    }
}
