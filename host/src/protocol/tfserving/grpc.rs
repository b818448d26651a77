//! The gRPC services of TensorFlow Serving: `tensorflow.serving.PredictionService` and `ModelService`.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tonic::{Request, Response, Status};

use super::path::NEWEST;
use super::proto::wrong;
use super::signature::{self, PREDICT, SIGNATURE, check_signature, number};
use super::{proto, status};
use crate::codec::error::{DecodeError, EncodeError};
use crate::codec::protobuf::fields::{Fields, MAX_FIELDS, Malformed, RawMessage};
use crate::error::ApiError;
use crate::http::client_port::ClientPort;
use crate::inference::{DataPlane, Exchange, InferRequest, InferResponse, WantedOutput};
use crate::pipeline::Pipeline;
use crate::protocol::grpc::admission::GrpcCall;
use crate::protocol::grpc::inference::{self, Asked};
use crate::protocol::pb::tensorflow::error::Code;
use crate::protocol::pb::tensorflow::serving as pb;
use crate::protocol::pb::tensorflow::serving::model_service_server::ModelService;
use crate::protocol::pb::tensorflow::serving::model_spec::VersionChoice;
use crate::protocol::pb::tensorflow::serving::prediction_service_server::PredictionService;
use crate::scheduler::CallContext;

pub struct Predictions {
    pub port: Arc<ClientPort>,
}

pub struct Models {
    pub data_plane: Arc<DataPlane>,
}

type Answered<T> = Result<Response<T>, Status>;

/// The version that a client names, as a number or a label.
fn version(spec: &pb::ModelSpec) -> Option<String> {
    match spec.version_choice.as_ref()? {
        VersionChoice::Version(number) => Some(number.to_string()).filter(|number| number != NEWEST),
        VersionChoice::VersionLabel(label) => Some(label.clone()),
    }
}

/// The model and version that were found, as replies name them.
fn found(pipeline: &Pipeline) -> pb::ModelSpec {
    pb::ModelSpec {
        name: pipeline.model.to_string(),
        version_choice: Some(VersionChoice::Version(number(&pipeline.version))),
        signature_name: SIGNATURE.into(),
    }
}

/// The parts of a `PredictRequest`. The tensors are still encoded, so that they can be decoded on a compute thread.
#[derive(Default)]
pub struct PredictParts {
    spec: pb::ModelSpec,
    inputs: Vec<Bytes>,
    wanted: Vec<String>,
    /// Size in bytes of the whole message.
    bytes: u64,
}

impl PredictParts {
    pub fn open(message: Bytes) -> Result<PredictParts, Malformed> {
        let mut parts = PredictParts { bytes: message.len() as u64, ..PredictParts::default() };
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => parts.spec = pb::ModelSpec::decode(field.bytes()?)?,
                2 => parts.inputs.push(field.bytes()?),
                3 => parts.wanted.push(field.text()?),
                _ => {}
            }
        }
        Ok(parts)
    }

    /// Decodes the tensors. `repeat_budget` is the number of bytes that values which stand for many may become.
    pub fn decode(self, mut repeat_budget: u64) -> Result<InferRequest, DecodeError> {
        check_signature(&self.spec.signature_name, PREDICT)?;
        let mut request = InferRequest::default();
        for entry in self.inputs {
            let (name, tensor) = open_entry(entry)?;
            let tensor = proto::decode(&name, tensor, &mut repeat_budget)?;
            request.inputs.push((name.into(), tensor));
        }
        let wanted = self.wanted.into_iter().map(|name| WantedOutput { name, ..WantedOutput::default() });
        request.outputs = Some(wanted.collect()).filter(|wanted: &Vec<_>| !wanted.is_empty());
        Ok(request)
    }
}

fn open_entry(entry: Bytes) -> Result<(String, Bytes), Malformed> {
    let (mut name, mut tensor) = (String::new(), Bytes::new());
    let mut fields = Fields::at_most(MAX_FIELDS, entry);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => name = field.text()?,
            2 => tensor = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, tensor))
}

/// A `PredictRequest`.
struct Predict {
    parts: PredictParts,
    /// Number of bytes that values which stand for many may become.
    repeat_budget: u64,
}

impl Exchange for Predict {
    type Reply = pb::PredictResponse;

    fn decode(&mut self, _: &CallContext, _: &Pipeline) -> Result<InferRequest, ApiError> {
        Ok(std::mem::take(&mut self.parts).decode(self.repeat_budget)?)
    }

    fn encode(
        &self,
        _: &CallContext,
        model: &Pipeline,
        response: InferResponse,
    ) -> Result<pb::PredictResponse, ApiError> {
        Ok(encode(model, &response)?)
    }

    fn reply_bytes(reply: &pb::PredictResponse) -> u64 {
        reply.encoded_len() as u64
    }
}

fn encode(pipeline: &Pipeline, answer: &InferResponse) -> Result<pb::PredictResponse, EncodeError> {
    let bound = answer.bound;
    // Lists are about as large as the data of their tensors, which is checked before they are made. Their exact size is
    // checked afterwards.
    let bytes: u64 = answer.outputs.iter().map(|(_, tensor)| tensor.data().len() as u64).sum();
    if bytes > bound {
        return Err(EncodeError::TooLarge { bound });
    }
    let outputs = answer.outputs.iter().map(|(name, tensor)| (name.to_string(), proto::encode(tensor))).collect();
    let response = pb::PredictResponse { model_spec: Some(found(pipeline)), outputs };
    match response.encoded_len() as u64 > bound {
        true => Err(EncodeError::TooLarge { bound }),
        false => Ok(response),
    }
}

/// Refuses a call that takes examples: over gRPC these are `tf.Example`, which the host does not read.
fn no_examples<T, A>(request: &Request<T>, what: &str) -> Answered<A> {
    let instead = "call Predict with tensors, or POST its examples as JSON (/v1/models/M:classify, :regress)";
    Err(GrpcCall::of(request)?.refuse(ApiError::NotSupported { what: what.to_owned(), instead }))
}

#[tonic::async_trait]
impl PredictionService for Predictions {
    async fn predict(&self, request: Request<RawMessage>) -> Answered<pb::PredictResponse> {
        let caller = GrpcCall::of(&request)?;
        let parts = inference::open(&caller, request.into_inner().0, PredictParts::open)?;
        let (model, version) = (parts.spec.name.clone(), version(&parts.spec));
        let asked = Asked { model, version, bytes: parts.bytes };
        let exchange = Predict { parts, repeat_budget: self.port.bodies.request_bytes };
        Ok(Response::new(inference::answer(&caller, &asked, exchange).await?))
    }

    async fn get_model_metadata(
        &self,
        request: Request<pb::GetModelMetadataRequest>,
    ) -> Answered<pb::GetModelMetadataResponse> {
        let caller = GrpcCall::of(&request)?;
        let refuse = |error: ApiError| caller.refuse(error);
        let pb::GetModelMetadataRequest { model_spec, metadata_field } = request.into_inner();
        if let Some(other) = metadata_field.iter().find(|field| *field != "signature_def") {
            return Err(refuse(wrong(format!("Metadata field {other} is not supported")).into()));
        }
        if metadata_field.is_empty() {
            return Err(refuse(
                wrong("GetModelMetadataRequest must specify at least one metadata_field".into()).into(),
            ));
        }
        let spec = model_spec.unwrap_or_default();
        let client = caller.client().map_err(refuse)?;
        let pipeline = self.port.data_plane.find(&client, &spec.name, version(&spec).as_deref());
        let pipeline = pipeline.map_err(|not_served| refuse(not_served.into()))?;
        let map = pb::SignatureDefMap { signature_def: [(SIGNATURE.to_owned(), signature::of(&pipeline))].into() };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/tensorflow.serving.SignatureDefMap".into(),
            value: map.encode_to_vec(),
        };
        let model_spec = Some(pb::ModelSpec { signature_name: String::new(), ..found(&pipeline) });
        let metadata = [("signature_def".to_owned(), any)].into();
        Ok(Response::new(pb::GetModelMetadataResponse { model_spec, metadata }))
    }

    async fn classify(&self, request: Request<pb::ClassificationRequest>) -> Answered<pb::ClassificationResponse> {
        no_examples(&request, "Classify")
    }

    async fn regress(&self, request: Request<pb::RegressionRequest>) -> Answered<pb::RegressionResponse> {
        no_examples(&request, "Regress")
    }

    async fn multi_inference(
        &self,
        request: Request<pb::MultiInferenceRequest>,
    ) -> Answered<pb::MultiInferenceResponse> {
        no_examples(&request, "MultiInference")
    }
}

#[tonic::async_trait]
impl ModelService for Models {
    async fn get_model_status(
        &self,
        request: Request<pb::GetModelStatusRequest>,
    ) -> Answered<pb::GetModelStatusResponse> {
        let caller = GrpcCall::of(&request)?;
        let spec = request.into_inner().model_spec.unwrap_or_default();
        let client = caller.client().map_err(|error| caller.refuse(error))?;
        let versions = status::of(&self.data_plane, &client, &spec.name, version(&spec).as_deref());
        let versions = versions.map_err(|not_served| caller.refuse(not_served.into()))?;
        let reported = |version: status::VersionStatus| {
            use pb::model_version_status::State;
            let (state, code) = match version.failed {
                None => (State::Available, Code::Ok),
                Some(_) => (State::End, Code::FailedPrecondition),
            };
            let error_message = version.failed.map(|reason| reason.to_string()).unwrap_or_default();
            let status = Some(pb::StatusProto { error_code: code.into(), error_message });
            pb::ModelVersionStatus { version: version.version, state: state.into(), status }
        };
        let model_version_status = versions.into_iter().map(reported).collect();
        Ok(Response::new(pb::GetModelStatusResponse { model_version_status }))
    }
}
