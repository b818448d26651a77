//! What there is at the clients' port, one row each.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Response;

use super::tfserving::{Classified, Examples, MetadataReply, PredictReply, PredictRequest, Regressed, VersionStatuses};
use crate::error::ErrorReply;
use crate::openapi::document::About;
use crate::openapi::table::{
    OBJECT, Operation, Payload, Query, QueryKind, Scope, Section, bytes, get, json, list, post,
};
use crate::openapi::{NamedSchema, collect, html, page, static_text, text};
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
    text(&about, SCHEMAS.as_slice(), SECTIONS)
});

static CLIENTS_PAGE: LazyLock<String> = LazyLock::new(|| page::render(&CLIENTS));

/// `/openapi.json` at the clients' port.
pub(crate) async fn for_clients() -> Response<Body> {
    static_text(&CLIENTS, "application/json")
}

/// `/docs` at the clients' port, for people.
pub(crate) async fn page_for_clients() -> Response<Body> {
    html(&CLIENTS_PAGE)
}

/// The types whose schemas operations name.
pub const SCHEMAS: [fn(&mut Vec<NamedSchema>); 23] = [
    collect::<ErrorReply>,
    collect::<ServerMetadata>,
    collect::<ServerLive>,
    collect::<ServerReady>,
    collect::<ModelMetadata>,
    collect::<ModelReady>,
    collect::<ModelConfig>,
    collect::<StatisticsReply>,
    collect::<WireRequest>,
    collect::<InferReply>,
    collect::<IndexRequest>,
    collect::<IndexEntry>,
    collect::<LoadRequest>,
    collect::<LogSettings>,
    collect::<LogChanges>,
    collect::<TraceSettings>,
    collect::<PredictRequest>,
    collect::<PredictReply>,
    collect::<Examples>,
    collect::<Classified>,
    collect::<Regressed>,
    collect::<VersionStatuses>,
    collect::<MetadataReply>,
];

/// JSON and binary tensors, or one tensor alone.
const BINARY: Payload = bytes("application/octet-stream");

/// The bytes of a model's only input, under whatever name they have.
const ANYTHING: Payload = bytes("*/*");

const EVENTS: Payload = bytes("text/event-stream");

/// What can happen to a request that runs a model.
const RUN: &[u16] = &[400, 401, 403, 404, 406, 408, 413, 415, 429, 500, 503, 504];

/// What can happen to a question about a model.
const ASK: &[u16] = &[401, 403, 404, 503];

/// What can happen to a short body.
const SHORT: &[u16] = &[400, 401, 403, 408, 413, 415, 503];

/// What can happen to an act on a model.
const ACT: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 415, 500, 503, 507];

pub const SECTIONS: &[Section] = &[
    Section { name: "Server", about: "What is here, and whether it is ready", operations: SERVER },
    Section { name: "Models", about: "What a model is, and what it did", operations: MODELS },
    Section { name: "Inference", about: "Running models", operations: INFERENCE },
    Section {
        name: "TensorFlow Serving",
        about: "The same models at the addresses that TensorFlow Serving's clients know; version N is the newest N.x.y",
        operations: TENSORFLOW,
    },
    Section { name: "Repository", about: "Which models are served", operations: REPOSITORY },
    Section { name: "Settings", about: "For keys with the role admin", operations: SETTINGS },
];

const SERVER: &[Operation] = &[
    get(
        "server",
        Scope::Server,
        "/v2",
        &[json("ServerMetadata")],
        &[],
        "What the server is, and which extensions it has",
    ),
    get("live", Scope::Server, "/v2/health/live", &[json("ServerLive")], &[], "Whether the server runs"),
    Operation {
        unready: Some("ServerReady"),
        ..get(
            "ready",
            Scope::Server,
            "/v2/health/ready",
            &[json("ServerReady")],
            &[503],
            "Whether all that should be served is: nothing is loading, and nothing of the operator's own has failed",
        )
    },
    get("document", Scope::Server, "/openapi.json", &[OBJECT], &[], "This document"),
    get("docs", Scope::Server, "/docs", &[bytes("text/html")], &[], "This document as a page to read"),
];

const MODELS: &[Operation] = &[
    get("model", Scope::Version, "", &[json("ModelMetadata")], ASK, "A model's inputs and outputs"),
    get("model_ready", Scope::Version, "/ready", &[json("ModelReady")], ASK, "Whether a model is ready"),
    get(
        "model_config",
        Scope::Version,
        "/config",
        &[json("ModelConfig")],
        ASK,
        "A model's configuration, as Triton has it",
    ),
    get(
        "model_statistics",
        Scope::Version,
        "/stats",
        &[json("StatisticsReply")],
        ASK,
        "What a model did, and how long it took",
    ),
    get(
        "statistics",
        Scope::Server,
        "/v2/models/stats",
        &[json("StatisticsReply")],
        &[401, 403],
        "What all models did, and how long it took",
    ),
];

const INFERENCE: &[Operation] = &[
    Operation {
        query: &[Query { name: "parameters", kind: QueryKind::Any }],
        ..post(
            "infer",
            Scope::Version,
            "/infer",
            &[json("InferRequest"), BINARY, ANYTHING],
            &[json("InferReply"), BINARY],
            RUN,
            "Run a model: JSON, JSON and binary tensors, or the bytes of its only input with parameters in the query",
        )
    },
    post(
        "generate",
        Scope::Version,
        "/generate",
        &[OBJECT],
        &[OBJECT],
        RUN,
        "Run a model: fields are its inputs, fields of the answer its outputs",
    ),
    post(
        "generate_stream",
        Scope::Version,
        "/generate_stream",
        &[OBJECT],
        &[EVENTS],
        RUN,
        "The same, with each answer as an event when it comes: any number where the model streams, and a refusal as the last",
    ),
];

const TENSORFLOW: &[Operation] = &[
    get("tf_status", Scope::Tensorflow, "", &[json("VersionStatuses")], ASK, "A model's versions and their states"),
    get(
        "tf_metadata",
        Scope::Tensorflow,
        "/metadata",
        &[json("ModelSignatures")],
        ASK,
        "A model's inputs and outputs, as a signature",
    ),
    post(
        "tf_predict",
        Scope::Tensorflow,
        ":predict",
        &[json("PredictRequest")],
        &[json("PredictReply")],
        RUN,
        "Run a model on rows or on columns; the answer has the form of the request",
    ),
    post(
        "tf_classify",
        Scope::Tensorflow,
        ":classify",
        &[json("Examples")],
        &[json("Classified")],
        RUN,
        "Scores of examples, for models whose floating output has a row for each",
    ),
    post(
        "tf_regress",
        Scope::Tensorflow,
        ":regress",
        &[json("Examples")],
        &[json("Regressed")],
        RUN,
        "Values of examples, for models whose floating output has one for each",
    ),
];

const REPOSITORY: &[Operation] = &[
    post(
        "repository_index",
        Scope::Server,
        "/v2/repository/index",
        &[json("IndexRequest")],
        &[list("IndexEntry")],
        SHORT,
        "All versions of all models, and their state",
    ),
    post(
        "load",
        Scope::Repository,
        "/load",
        &[json("LoadRequest")],
        &[OBJECT],
        ACT,
        "See to it that a model is served; for keys with the role deploy",
    ),
    post(
        "unload",
        Scope::Repository,
        "/unload",
        &[json("LoadRequest")],
        &[OBJECT],
        ACT,
        "Take a model out of service; for keys with the role deploy",
    ),
];

const SETTINGS: &[Operation] = &[
    get("log_settings", Scope::Server, "/v2/logging", &[json("LogSettings")], &[401, 403], "What is logged"),
    post(
        "change_log",
        Scope::Server,
        "/v2/logging",
        &[json("LogChanges")],
        &[json("LogSettings")],
        SHORT,
        "Change what is logged",
    ),
    get(
        "trace_settings",
        Scope::Server,
        "/v2/trace/setting",
        &[json("TraceSettings")],
        &[401, 403],
        "Whether requests are traced",
    ),
    post(
        "change_trace",
        Scope::Server,
        "/v2/trace/setting",
        &[OBJECT],
        &[json("TraceSettings")],
        SHORT,
        "Traces are off: accepts what says so, and refuses the rest",
    ),
    get(
        "model_trace_settings",
        Scope::Model,
        "/trace/setting",
        &[json("TraceSettings")],
        ASK,
        "Whether a model's requests are traced",
    ),
    post(
        "change_model_trace",
        Scope::Model,
        "/trace/setting",
        &[OBJECT],
        &[json("TraceSettings")],
        &[400, 401, 403, 404, 408, 413, 415, 503],
        "Traces are off: accepts what says so, and refuses the rest",
    ),
];
