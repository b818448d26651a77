//! The gRPC service of the Open Inference Protocol, `inference.GRPCInferenceService`.

use std::sync::Arc;

use serde_json::Value;
use tonic::{Request, Response, Status, Streaming};

use super::stream::{self, Replies};
use super::{config, infer, settings};
use crate::codec::protobuf::fields::RawMessage;
use crate::error::ApiError;
use crate::http::listener::Shutdown;
use crate::inference::DataPlane;
use crate::inference::call::Client;
use crate::pipeline::Pipeline;
use crate::protocol::grpc::admission::GrpcCall;
use crate::protocol::oip::extensions;
use crate::protocol::oip::extensions::repository::{IndexRequest, LoadRequest, Repository};
use crate::protocol::oip::extensions::statistics::counted;
use crate::protocol::oip::model_config::PLATFORM;
use crate::protocol::pb::inference as pb;
use crate::protocol::pb::inference::grpc_inference_service_server::GrpcInferenceService;
use crate::protocol::pb::inference::repository_index_response::ModelIndex;
use crate::telemetry::{BatchSnapshot, DurationStats};
use crate::tenant::Role;
use crate::tensor::TensorSpec;

pub struct Inference {
    pub data_plane: Arc<DataPlane>,
    pub repository: Repository,
    pub shutdown: Shutdown,
}

type Answered<T> = Result<Response<T>, Status>;

impl Inference {
    fn find<T>(&self, request: &Request<T>, model: &str, version: &str) -> Result<Arc<Pipeline>, Status> {
        let found = self.data_plane.find(&client(request, Role::Infer)?, model, given(version));
        found.map_err(|not_served| refuse(request, not_served.into()))
    }
}

/// The caller; an error if authentication fails or the caller's role is less than `role`.
fn client<T>(request: &Request<T>, role: Role) -> Result<Client, Status> {
    let caller = GrpcCall::of(request)?;
    let client = caller.client().and_then(|client| client.must_be(role).map(|()| client));
    client.map_err(|error| caller.refuse(error))
}

/// `None` for an empty string, which stands for an absent one in protobuf.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn refuse<T>(request: &Request<T>, error: ApiError) -> Status {
    match GrpcCall::of(request) {
        Ok(caller) => caller.refuse(error),
        Err(status) => status,
    }
}

/// Refuses shared memory: a client that can name memory of the host's machine could read and write memory of others.
fn no_shared_memory<T, A>(request: &Request<T>) -> Answered<A> {
    let what = "shared memory between clients and the host".into();
    Err(refuse(request, ApiError::NotSupported { what, instead: "send and fetch tensors in the messages" }))
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, _: Request<pb::ServerLiveRequest>) -> Answered<pb::ServerLiveResponse> {
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<pb::ServerReadyRequest>) -> Answered<pb::ServerReadyResponse> {
        Ok(Response::new(pb::ServerReadyResponse { ready: self.data_plane.catalog.all_ready() }))
    }

    async fn model_ready(&self, request: Request<pb::ModelReadyRequest>) -> Answered<pb::ModelReadyResponse> {
        let pb::ModelReadyRequest { name, version } = request.get_ref();
        // Clients that wait for a model ask before it exists, so an unknown model is not ready, and not an error.
        let ready = self.data_plane.find(&client(&request, Role::Infer)?, name, given(version)).is_ok();
        Ok(Response::new(pb::ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, _: Request<pb::ServerMetadataRequest>) -> Answered<pb::ServerMetadataResponse> {
        Ok(Response::new(pb::ServerMetadataResponse {
            name: "bulkhead".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            extensions: extensions::SERVED.map(Into::into).into(),
        }))
    }

    async fn model_metadata(&self, request: Request<pb::ModelMetadataRequest>) -> Answered<pb::ModelMetadataResponse> {
        let pb::ModelMetadataRequest { name, version } = request.get_ref();
        let pipeline = self.find(&request, name, version)?;
        let client = client(&request, Role::Infer)?;
        Ok(Response::new(pb::ModelMetadataResponse {
            name: pipeline.model.to_string(),
            versions: self.data_plane.catalog.ready_versions(&pipeline.model, client.tenant()),
            platform: PLATFORM.into(),
            inputs: pipeline.signature.inputs.iter().map(metadata).collect(),
            outputs: pipeline.signature.outputs.iter().map(metadata).collect(),
        }))
    }

    async fn model_infer(&self, request: Request<RawMessage>) -> Answered<pb::ModelInferResponse> {
        let caller = GrpcCall::of(&request)?;
        Ok(Response::new(infer::infer(&caller, request.into_inner().0).await?))
    }

    type ModelStreamInferStream = Replies;

    async fn model_stream_infer(&self, request: Request<Streaming<RawMessage>>) -> Answered<Replies> {
        let caller = GrpcCall::of(&request)?;
        stream::infer_stream(caller, request, &self.shutdown)
    }

    async fn model_config(&self, request: Request<pb::ModelConfigRequest>) -> Answered<pb::ModelConfigResponse> {
        let pb::ModelConfigRequest { name, version } = request.get_ref();
        let pipeline = self.find(&request, name, version)?;
        let request_bytes = client(&request, Role::Infer)?.caller.tenant.limits().request_bytes;
        Ok(Response::new(pb::ModelConfigResponse { config: Some(config::of(&pipeline, request_bytes)) }))
    }

    async fn model_statistics(
        &self,
        request: Request<pb::ModelStatisticsRequest>,
    ) -> Answered<pb::ModelStatisticsResponse> {
        let pb::ModelStatisticsRequest { name, version } = request.get_ref();
        let client = client(&request, Role::Infer)?;
        let counted = counted(&self.data_plane, &client, given(name), given(version));
        let counted = counted.map_err(|not_served| refuse(&request, not_served.into()))?;
        let model_stats = counted.iter().map(|pipeline| statistics(pipeline)).collect();
        Ok(Response::new(pb::ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<pb::RepositoryIndexRequest>,
    ) -> Answered<pb::RepositoryIndexResponse> {
        let asked = IndexRequest { ready: request.get_ref().ready };
        let client = client(&request, Role::Infer)?;
        let index = self.repository.index(&client, &asked).await;
        let index = index.map_err(|error| refuse(&request, error))?;
        let models = index.into_iter().map(|entry| ModelIndex {
            name: entry.name,
            version: entry.version,
            state: entry.state.into(),
            reason: entry.reason,
        });
        Ok(Response::new(pb::RepositoryIndexResponse { models: models.collect() }))
    }

    async fn repository_model_load(
        &self,
        request: Request<pb::RepositoryModelLoadRequest>,
    ) -> Answered<pb::RepositoryModelLoadResponse> {
        let client = client(&request, Role::Deploy)?;
        let pb::RepositoryModelLoadRequest { model_name, parameters, .. } = request.get_ref();
        let asked = LoadRequest { parameters: parameters.keys().map(|name| (name.clone(), Value::Null)).collect() };
        let loaded = self.repository.load(&client, model_name, &asked).await;
        loaded.map_err(|error| refuse(&request, error))?;
        Ok(Response::new(pb::RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<pb::RepositoryModelUnloadRequest>,
    ) -> Answered<pb::RepositoryModelUnloadResponse> {
        let client = client(&request, Role::Deploy)?;
        let unloaded = self.repository.unload(&client, &request.get_ref().model_name).await;
        unloaded.map_err(|error| refuse(&request, error))?;
        Ok(Response::new(pb::RepositoryModelUnloadResponse {}))
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
        client(&request, Role::Admin)?;
        let pb::TraceSettingRequest { settings, model_name } = request.get_ref();
        given(model_name).map(|model| self.find(&request, model, "")).transpose()?;
        settings::trace(settings).map(Response::new).map_err(|error| refuse(&request, error))
    }

    async fn log_settings(&self, request: Request<pb::LogSettingsRequest>) -> Answered<pb::LogSettingsResponse> {
        client(&request, Role::Admin)?;
        settings::log(&request.get_ref().settings).map(Response::new).map_err(|error| refuse(&request, error))
    }
}

fn metadata(spec: &TensorSpec) -> pb::model_metadata_response::TensorMetadata {
    pb::model_metadata_response::TensorMetadata {
        name: spec.name.to_string(),
        datatype: spec.datatype.name().into(),
        shape: spec.shape.clone(),
    }
}

fn statistics(pipeline: &Pipeline) -> pb::ModelStatistics {
    let read = pipeline.metrics.statistics.read();
    let duration =
        |counted: DurationStats| Some(pb::StatisticDuration { count: counted.count, ns: counted.nanoseconds });
    let batch = |batch: &BatchSnapshot| pb::InferBatchStatistics {
        batch_size: batch.rows,
        compute_input: duration(batch.input),
        compute_infer: duration(batch.infer),
        compute_output: duration(batch.output),
    };
    pb::ModelStatistics {
        name: pipeline.model.to_string(),
        version: pipeline.version.to_string(),
        last_inference: read.last_inference,
        inference_count: read.rows,
        execution_count: read.success.count,
        inference_stats: Some(pb::InferStatistics {
            success: duration(read.success),
            fail: duration(read.fail),
            queue: duration(read.queue),
            compute_input: duration(read.input),
            compute_infer: duration(read.infer),
            compute_output: duration(read.output),
            cache_hit: duration(DurationStats::default()),
            cache_miss: duration(DurationStats::default()),
        }),
        batch_stats: read.batches.iter().map(batch).collect(),
        ..Default::default()
    }
}
