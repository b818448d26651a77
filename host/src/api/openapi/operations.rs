//! What there is, one row each.

use super::{NamedSchema, OBJECT, Operation, Payload, Scope, collect, get, json, post};
use crate::api::extensions::config::ModelConfig;
use crate::api::extensions::repository::{IndexEntry, IndexRequest, LoadRequest};
use crate::api::extensions::settings::{LogChanges, LogSettings, TraceSettings};
use crate::api::extensions::statistics::StatisticsReply;
use crate::api::refusal::ErrorReply;
use crate::api::wire::{InferReply, ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, WireRequest};

/// The types whose schemas operations name.
pub const SCHEMAS: [fn(&mut Vec<NamedSchema>); 16] = [
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
];

/// JSON and binary tensors, or one tensor alone.
const BINARY: Payload = Payload { kind: "application/octet-stream", schema: None };

const EVENTS: Payload = Payload { kind: "text/event-stream", schema: None };

/// What can happen to a request that runs a model.
const RUN: &[u16] = &[400, 401, 403, 404, 406, 408, 413, 415, 429, 500, 503, 504];

/// What can happen to a question about a model.
const ASK: &[u16] = &[401, 403, 404, 503];

/// What can happen to a short body.
const SHORT: &[u16] = &[400, 401, 403, 408, 413, 415, 503];

pub const OPERATIONS: &[Operation] = &[
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
            "Whether all models are ready",
        )
    },
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
    post(
        "infer",
        Scope::Version,
        "/infer",
        &[json("InferRequest"), BINARY],
        &[json("InferReply"), BINARY],
        RUN,
        "Run a model: JSON, JSON and binary tensors, or the bytes of its only input",
    ),
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
    get(
        "statistics",
        Scope::Server,
        "/v2/models/stats",
        &[json("StatisticsReply")],
        &[401, 403],
        "What all models did, and how long it took",
    ),
    get(
        "model_statistics",
        Scope::Version,
        "/stats",
        &[json("StatisticsReply")],
        ASK,
        "What a model did, and how long it took",
    ),
    post(
        "repository_index",
        Scope::Server,
        "/v2/repository/index",
        &[json("IndexRequest")],
        &[json("[]IndexEntry")],
        SHORT,
        "All versions of all models, and their state",
    ),
    post(
        "load",
        Scope::Repository,
        "/load",
        &[json("LoadRequest")],
        &[OBJECT],
        &[400, 401, 403, 404, 408, 409, 413, 415, 500, 503, 507],
        "See to it that a model is served",
    ),
    post(
        "unload",
        Scope::Repository,
        "/unload",
        &[json("LoadRequest")],
        &[OBJECT],
        &[400, 401, 403, 404, 408, 409, 413, 415, 500, 503, 507],
        "Take a model out of service",
    ),
    get(
        "log_settings",
        Scope::Server,
        "/v2/logging",
        &[json("LogSettings")],
        &[401, 403],
        "What is logged; the operator's",
    ),
    post(
        "change_log",
        Scope::Server,
        "/v2/logging",
        &[json("LogChanges")],
        &[json("LogSettings")],
        SHORT,
        "Change what is logged; the operator's",
    ),
    get(
        "trace_settings",
        Scope::Server,
        "/v2/trace/setting",
        &[json("TraceSettings")],
        &[401, 403],
        "Whether requests are traced; the operator's",
    ),
    post(
        "change_trace",
        Scope::Server,
        "/v2/trace/setting",
        &[OBJECT],
        &[json("TraceSettings")],
        SHORT,
        "Traces are off; the operator's",
    ),
    get(
        "model_trace_settings",
        Scope::Model,
        "/trace/setting",
        &[json("TraceSettings")],
        ASK,
        "Whether a model's requests are traced; the operator's",
    ),
    post(
        "change_model_trace",
        Scope::Model,
        "/trace/setting",
        &[OBJECT],
        &[json("TraceSettings")],
        &[400, 401, 403, 404, 408, 413, 415, 503],
        "Traces are off; the operator's",
    ),
];
