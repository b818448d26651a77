//! The REST routes of TensorFlow Serving, and their handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response};
use axum::routing::{any, get};
use bytes::Bytes;

use super::describe::{MetadataReply, ModelNames, VersionStatuses};
use super::path::{Verb, Wanted};
use super::proto::wrong;
use super::rows::{self, RequestLayout};
use super::{encode, examples, status};
use crate::codec::error::EncodeError;
use crate::codec::json::writer::Encoded;
use crate::error::ApiError;
use crate::http::client_port::ClientPort;
use crate::http::inference::{ArrivedRequest, body_length};
use crate::http::missing_address::missing_list;
use crate::http::response;
use crate::inference::call::Client;
use crate::inference::{Exchange, InferRequest, InferResponse};
use crate::pipeline::{Labels, Pipeline};
use crate::scheduler::CallContext;
use crate::tensor::NamedTensors;

/// The routes, for the router of the clients' port.
pub fn router() -> Router<Arc<ClientPort>> {
    Router::new().route("/v1/models", get(models)).route("/v1/models/{*path}", any(model))
}

async fn models(State(port): State<Arc<ClientPort>>, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let client = port.client(&request)?;
    let listed = port.data_plane.catalog.list(client.tenant()).into_iter();
    let ready = listed.filter(|listed| listed.entry.ready().is_some());
    Ok(response::json(&ModelNames { models: ready.map(|listed| listed.model.to_string()).collect() }))
}

async fn model(State(port): State<Arc<ClientPort>>, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let (wanted, client) = admit(&port, &request)?;
    let (model, version) = (wanted.model.as_str(), wanted.version.as_deref());
    Ok(match wanted.verb {
        Verb::Status => {
            let versions = status::of(&port.data_plane, &client, model, version);
            let versions = versions.map_err(|not_served| missing_list(not_served, model, "/v1/models/"))?;
            response::json(&VersionStatuses::of(model, versions))
        }
        Verb::Metadata => response::json(&MetadataReply::of(&*port.data_plane.find(&client, model, version)?)),
        Verb::Predict => port.answer(&client, model, version, request, Predict::new).await,
        Verb::Classify => port.answer(&client, model, version, request, Evaluate::classify).await,
        Verb::Regress => port.answer(&client, model, version, request, Evaluate::regress).await,
    })
}

fn admit(port: &ClientPort, request: &Request<Body>) -> Result<(Wanted, Client), ApiError> {
    let wanted = request.uri().path().strip_prefix("/v1/models/").and_then(Wanted::parse);
    let wanted = wanted.ok_or_else(|| match request.uri().path().contains(':') {
        true => unknown_verb(request),
        false => ApiError::NoSuchAddress,
    })?;
    let allowed = wanted.verb.allowed();
    if request.method() != allowed && !(allowed == "GET" && request.method() == Method::HEAD) {
        return Err(ApiError::Method { allowed: allowed.into(), instead: wanted.verb.instead() });
    }
    Ok((wanted, port.client(request)?))
}

/// The refusal of an operation that there is not, in TensorFlow Serving's words.
fn unknown_verb(request: &Request<Body>) -> ApiError {
    let address = crate::config::clip(request.uri().path().to_owned());
    let known = "the operations on a model are :predict, :classify and :regress";
    wrong(format!("Malformed request: {} {address}; {known}", request.method())).into()
}

/// A request to `:predict`. The reply has the layout of the request, which is known once it is decoded.
struct Predict {
    arrived: ArrivedRequest,
    layout: RequestLayout,
}

impl Predict {
    fn new(arrived: ArrivedRequest) -> Predict {
        Predict { arrived, layout: RequestLayout::Columns }
    }
}

impl Exchange for Predict {
    type Reply = Response<Body>;

    fn decode(&mut self, _: &CallContext, model: &Pipeline) -> Result<InferRequest, ApiError> {
        let body = self.arrived.take_body()?;
        let (request, layout) = rows::decode(&body, &model.signature.inputs, self.arrived.bound)?;
        self.layout = layout;
        self.arrived.with_query(request)
    }

    fn encode(&self, _: &CallContext, _: &Pipeline, response: InferResponse) -> Result<Response<Body>, ApiError> {
        let json = encode::predictions(&response.outputs, self.layout, response.bound)?;
        self.arrived.reply(Encoded { json, tensors: Vec::new(), binary: false })
    }

    fn reply_bytes(reply: &Response<Body>) -> u64 {
        body_length(reply)
    }
}

/// A writer of outputs, with the labels of their classes, within a bound in bytes.
type Results = fn(&NamedTensors, &BTreeMap<String, Labels>, u64) -> Result<Vec<Bytes>, EncodeError>;

/// A request to `:classify` or `:regress`, which consists of examples, and whose reply is scores or values.
struct Evaluate {
    arrived: ArrivedRequest,
    /// The method name of the call.
    method: &'static str,
    results: Results,
}

impl Evaluate {
    fn classify(arrived: ArrivedRequest) -> Evaluate {
        Evaluate { arrived, method: "tensorflow/serving/classify", results: encode::classes }
    }

    fn regress(arrived: ArrivedRequest) -> Evaluate {
        Evaluate { arrived, method: "tensorflow/serving/regress", results: encode::values }
    }
}

impl Exchange for Evaluate {
    type Reply = Response<Body>;

    fn decode(&mut self, _: &CallContext, model: &Pipeline) -> Result<InferRequest, ApiError> {
        let body = self.arrived.take_body()?;
        let request = examples::decode(&body, &model.signature.inputs, self.method, self.arrived.bound)?;
        self.arrived.with_query(request)
    }

    fn encode(&self, _: &CallContext, model: &Pipeline, response: InferResponse) -> Result<Response<Body>, ApiError> {
        let json = (self.results)(&response.outputs, &model.labels, response.bound)?;
        self.arrived.reply(Encoded { json, tensors: Vec::new(), binary: false })
    }

    fn reply_bytes(reply: &Response<Body>) -> u64 {
        body_length(reply)
    }
}
