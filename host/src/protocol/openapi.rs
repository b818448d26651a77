//! The table of operations of the clients' port, and the document and page made from it.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Response;

use super::tfserving::{
    Classified, Examples, MetadataReply, ModelNames, PredictReply, PredictRequest, Regressed, VersionStatuses,
};
use crate::openapi::document::{About, document};
use crate::openapi::table::{
    OBJECT, Operation, Payload, Query, QueryKind, Scope, Section, bytes, get, json, list, post,
};
use crate::openapi::{html_reply, json_reply, page};
use crate::protocol::oip::extensions::config::ModelConfig;
use crate::protocol::oip::extensions::repository::{IndexEntry, IndexRequest, LoadRequest};
use crate::protocol::oip::extensions::settings::{LogChanges, LogSettings, TraceSettings};
use crate::protocol::oip::extensions::statistics::StatisticsReply;
use crate::protocol::oip::json::WireRequest;
use crate::protocol::oip::types::{InferReply, ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady};

static CLIENTS: LazyLock<String> = LazyLock::new(|| {
    let about = About {
        title: "Bulkhead",
        text: "The Open Inference Protocol over HTTP with its extensions, and TensorFlow Serving's addresses.",
        anonymous: true,
    };
    document(&about, &sections())
});

static CLIENTS_PAGE: LazyLock<String> = LazyLock::new(|| page::render(&CLIENTS));

/// Serves `/openapi.json` at the clients' port.
pub(crate) async fn for_clients() -> Response<Body> {
    json_reply(CLIENTS.as_bytes())
}

/// Serves `/docs` at the clients' port, the page for people.
pub(crate) async fn page_for_clients() -> Response<Body> {
    html_reply(CLIENTS_PAGE.as_bytes())
}

/// JSON followed by binary tensors, or the bytes of a single tensor.
const BINARY: Payload = bytes("application/octet-stream");

/// The bytes of a model's only input, with any content type.
const ANYTHING: Payload = bytes("*/*");

const EVENTS: Payload = bytes("text/event-stream");

/// Error statuses of requests that run a model.
const RUN: &[u16] = &[400, 401, 403, 404, 406, 408, 413, 415, 429, 500, 503, 504];

/// Error statuses of requests about a model.
const ASK: &[u16] = &[401, 403, 404, 503];

/// Error statuses of requests with a short body.
const SHORT: &[u16] = &[400, 401, 403, 408, 413, 415, 503];

/// Error statuses of requests that load or unload a model.
const ACT: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503, 507];

fn sections() -> Vec<Section> {
    vec![
        Section { name: "Server", about: "The server and its health", operations: server() },
        Section { name: "Models", about: "Metadata, configuration and statistics of models", operations: models() },
        Section { name: "Inference", about: "Running models", operations: inference() },
        Section {
            name: "TensorFlow Serving",
            about: "The same models at the addresses that TensorFlow Serving's clients know; version N is the newest N.x.y",
            operations: tensorflow(),
        },
        Section {
            name: "Repository",
            about: "The models of the server, and loading and unloading them",
            operations: repository(),
        },
        Section {
            name: "Settings",
            about: "Log and trace settings, for keys with the role admin",
            operations: settings(),
        },
    ]
}

fn server() -> Vec<Operation> {
    vec![
        get(
            "server",
            Scope::Server,
            "/v2",
            &[json::<ServerMetadata>()],
            &[],
            "Name, version and extensions of the server",
        ),
        get("live", Scope::Server, "/v2/health/live", &[json::<ServerLive>()], &[], "Liveness of the server"),
        Operation {
            unready: Some(json::<ServerReady>()),
            ..get(
                "ready",
                Scope::Server,
                "/v2/health/ready",
                &[json::<ServerReady>()],
                &[503],
                "Readiness of the server: everything that was served before the start was loaded once, and nothing of the operator's own has failed",
            )
        },
        get("document", Scope::Server, "/openapi.json", &[OBJECT], &[], "This document"),
        get("docs", Scope::Server, "/docs", &[bytes("text/html")], &[], "This document as a page to read"),
    ]
}

fn models() -> Vec<Operation> {
    vec![
        get("model", Scope::Version, "", &[json::<ModelMetadata>()], ASK, "A model's inputs and outputs"),
        get("model_ready", Scope::Version, "/ready", &[json::<ModelReady>()], ASK, "Readiness of a model"),
        get(
            "model_config",
            Scope::Version,
            "/config",
            &[json::<ModelConfig>()],
            ASK,
            "A model's configuration, in Triton's form",
        ),
        get(
            "model_statistics",
            Scope::Version,
            "/stats",
            &[json::<StatisticsReply>()],
            ASK,
            "Statistics of a model: its requests, and how long they took",
        ),
        get(
            "statistics",
            Scope::Server,
            "/v2/models/stats",
            &[json::<StatisticsReply>()],
            &[401, 403],
            "Statistics of all models: their requests, and how long they took",
        ),
    ]
}

/// An operation that runs a model. Parameters for its plugins may stand in the query.
fn run(
    id: &'static str,
    scope: Scope,
    path: &'static str,
    takes: &[Payload],
    gives: &[Payload],
    summary: &'static str,
) -> Operation {
    let query = &[Query { name: "parameters", kind: QueryKind::Any }];
    Operation { query, ..post(id, scope, path, takes, gives, RUN, summary) }
}

fn inference() -> Vec<Operation> {
    vec![
        run(
            "infer",
            Scope::Version,
            "/infer",
            &[json::<WireRequest>(), BINARY, ANYTHING],
            &[json::<InferReply>(), BINARY],
            "Run a model: JSON, JSON and binary tensors, or the bytes of its only input",
        ),
        run(
            "generate",
            Scope::Version,
            "/generate",
            &[OBJECT, ANYTHING],
            &[OBJECT],
            "Run a model: the fields of the request are its inputs, those of the reply its outputs",
        ),
        run(
            "generate_stream",
            Scope::Version,
            "/generate_stream",
            &[OBJECT, ANYTHING],
            &[EVENTS],
            "Run a model, with each response as an event as soon as it is there: several if the model streams, and an error as the last",
        ),
    ]
}

fn tensorflow() -> Vec<Operation> {
    vec![
        get(
            "kserve_models",
            Scope::Server,
            "/v1/models",
            &[json::<ModelNames>()],
            &[401, 403],
            "The models that are served",
        ),
        get(
            "tf_status",
            Scope::Tensorflow,
            "",
            &[json::<VersionStatuses>()],
            ASK,
            "A model's versions and their states, and its readiness",
        ),
        get(
            "tf_metadata",
            Scope::Tensorflow,
            "/metadata",
            &[json::<MetadataReply>()],
            ASK,
            "A model's inputs and outputs, as a signature",
        ),
        run(
            "tf_predict",
            Scope::Tensorflow,
            ":predict",
            &[json::<PredictRequest>()],
            &[json::<PredictReply>()],
            "Run a model on rows or on columns; the reply has the layout of the request",
        ),
        run(
            "tf_classify",
            Scope::Tensorflow,
            ":classify",
            &[json::<Examples>()],
            &[json::<Classified>()],
            "Scores of the classes for each example, from a model with one floating-point output, which has a row for each example",
        ),
        run(
            "tf_regress",
            Scope::Tensorflow,
            ":regress",
            &[json::<Examples>()],
            &[json::<Regressed>()],
            "A value for each example, from a model with one floating-point output, which has a value for each example",
        ),
    ]
}

fn repository() -> Vec<Operation> {
    vec![
        post(
            "repository_index",
            Scope::Server,
            "/v2/repository/index",
            &[json::<IndexRequest>()],
            &[list::<IndexEntry>()],
            SHORT,
            "All versions of all models, and their state",
        ),
        post(
            "load",
            Scope::Repository,
            "/load",
            &[json::<LoadRequest>()],
            &[OBJECT],
            ACT,
            "Put a model into service; for keys with the role deploy",
        ),
        post(
            "unload",
            Scope::Repository,
            "/unload",
            &[json::<LoadRequest>()],
            &[OBJECT],
            ACT,
            "Take a model out of service; for keys with the role deploy",
        ),
    ]
}

fn settings() -> Vec<Operation> {
    vec![
        get("log_settings", Scope::Server, "/v2/logging", &[json::<LogSettings>()], &[401, 403], "Log settings"),
        post(
            "change_log",
            Scope::Server,
            "/v2/logging",
            &[json::<LogChanges>()],
            &[json::<LogSettings>()],
            SHORT,
            "Change log settings",
        ),
        get(
            "trace_settings",
            Scope::Server,
            "/v2/trace/setting",
            &[json::<TraceSettings>()],
            &[401, 403],
            "Trace settings; tracing is always off",
        ),
        post(
            "change_trace",
            Scope::Server,
            "/v2/trace/setting",
            &[OBJECT],
            &[json::<TraceSettings>()],
            SHORT,
            "Accepts settings that leave tracing off, and refuses all others",
        ),
        get(
            "model_trace_settings",
            Scope::Model,
            "/trace/setting",
            &[json::<TraceSettings>()],
            ASK,
            "Trace settings of a model; tracing is always off",
        ),
        post(
            "change_model_trace",
            Scope::Model,
            "/trace/setting",
            &[OBJECT],
            &[json::<TraceSettings>()],
            &[400, 401, 403, 404, 408, 413, 415, 503],
            "Accepts settings that leave tracing off, and refuses all others",
        ),
    ]
}
