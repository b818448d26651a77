//! The comparisons, each with the target for the host.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use bulkhead_load::client::{Request, Server, latency, load};
use bulkhead_load::measure::Aim;
use bulkhead_load::numbers::Numbers;

use crate::perf_analyzer::Run;

/// Duration of one side's turn; the runs of perf_analyzer take as long in total.
const TURN: Duration = Duration::from_secs(3);

const CONNECTIONS: usize = 16;

pub(crate) struct Case {
    pub title: &'static str,
    pub load: Load,
    pub aim: Aim,
}

pub(crate) enum Load {
    /// Requests per second as perf_analyzer counts them.
    Throughput(Run),
    /// Median latency as perf_analyzer measures it, with one request at a time.
    Latency(Run),
    /// Requests per second as a client measures them that uses less of the two cores.
    LightThroughput(Request),
    LightLatency(Request),
}

const ENSEMBLE: Numbers = Numbers { model: "ensemble", input: "x", shape: &[1, 16] };
const IMAGE: Numbers = Numbers { model: "image", input: "x", shape: &[1, 3, 224, 224] };

const fn ensemble(protocol: &'static str, concurrency: usize) -> Run {
    Run { model: "ensemble", shape: "x:1,16", protocol, concurrency }
}

const MORE: Aim = Aim::AtLeast(6.0);
const SOONER: Aim = Aim::AtMost(0.25);

pub(crate) fn all() -> Vec<Case> {
    let case = |title, load, aim| Case { title, load, aim };
    vec![
        case(
            "Three stages, HTTP, perf_analyzer, concurrency 16",
            Load::Throughput(ensemble("http", CONNECTIONS)),
            MORE,
        ),
        case(
            "Three stages, gRPC, perf_analyzer, concurrency 16",
            Load::Throughput(ensemble("grpc", CONNECTIONS)),
            MORE,
        ),
        case("Three stages, JSON, light client, concurrency 16", Load::LightThroughput(ENSEMBLE.as_json()), MORE),
        case("Three stages, gRPC, light client, concurrency 16", Load::LightThroughput(ENSEMBLE.as_call()), MORE),
        case("Three stages, HTTP, perf_analyzer, concurrency 1, p50", Load::Latency(ensemble("http", 1)), SOONER),
        case("Three stages, gRPC, perf_analyzer, concurrency 1, p50", Load::Latency(ensemble("grpc", 1)), SOONER),
        case("Three stages, JSON, light client, concurrency 1, p50", Load::LightLatency(ENSEMBLE.as_json()), SOONER),
        case("Three stages, gRPC, light client, concurrency 1, p50", Load::LightLatency(ENSEMBLE.as_call()), SOONER),
        case("600 KB of FP32, one stage, binary, p50", Load::LightLatency(IMAGE.as_bytes()), Aim::AtMost(0.333)),
        case("600 KB of FP32, one stage, JSON, p50", Load::LightLatency(IMAGE.as_json()), Aim::AtMost(0.1)),
    ]
}

/// One request for each model.
pub(crate) fn questions() -> Vec<Request> {
    vec![ENSEMBLE.as_json(), IMAGE.as_json()]
}

impl Load {
    pub(crate) fn unit(&self) -> &'static str {
        match self {
            Load::Throughput(_) | Load::LightThroughput(_) => "requests/s",
            Load::Latency(_) | Load::LightLatency(_) => "µs",
        }
    }
}

impl Case {
    /// Measures one turn of one server.
    pub(crate) async fn measure(&self, server: &Server, perf_analyzer: &Path) -> Result<f64> {
        match &self.load {
            Load::Throughput(run) => Ok(run.of(server, perf_analyzer).await?.requests_per_second),
            Load::Latency(run) => Ok(run.of(server, perf_analyzer).await?.latency),
            Load::LightThroughput(request) => load(server.address(request), request, CONNECTIONS, TURN).await,
            Load::LightLatency(request) => latency(server.address(request), request, TURN).await,
        }
    }
}
