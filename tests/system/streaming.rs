//! Models that stream responses: `generate_stream` over HTTP, `ModelStreamInfer` over gRPC, and streams whose reader is
//! slow or disconnected.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::frames::{DATA, END_STREAM, Frames, infer};
use system_tests::{
    Draft, Host, Publisher, Reply, Start, component, prepared, repository, sockets, succeed, wait_until,
};

/// A model of one streamer, which emits as many responses as `x` says and then does `then`; `behind` adds stages after it.
fn streamer(model: &str, then: &str, behind: &str) -> String {
    format!(
        r#"
        [bundle]
        name = "test/{model}"
        version = "1.0.0"
        [[plugin]]
        name = "streamer"
        component = "hostile_streamer.wasm"
        config = {{ then = "{then}" }}
        [[plugin]]
        name = "other"
        component = "identity.wasm"
        config = {{ input = "y", output = "z" }}
        [pipeline]
        stages = ["streamer"{behind}]
        "#
    )
}

/// Starts a host with models of these names: `count` ends after its responses, `renamed` has a stage behind its generator,
/// and any other name is the streamer's `then`.
fn start(config: &str, models: &[&str]) -> Result<Host> {
    let files = [component("hostile_streamer"), component("identity")];
    let bundle = |start: Start, model: &&str| {
        let (then, behind) = match *model {
            "count" => ("end", ""),
            "renamed" => ("end", ", \"other\""),
            then => (then, ""),
        };
        start.bundle(&streamer(model, then, behind), &files)
    };
    models.iter().fold(Start::default().config(config), bundle).start()
}

/// Reads the whole reply and parses each event as JSON.
fn events(host: &Host, model: &str, x: &[f32]) -> Result<Vec<Value>> {
    let reply = generate_stream(host, model, x)?.ok()?;
    ensure!(reply.header("content-type").is_some_and(|value| value.starts_with("text/event-stream")), "{reply:?}");
    let event = |event: &str| Ok(serde_json::from_str(event.strip_prefix("data: ").context("no event")?)?);
    reply.body.split_terminator("\n\n").map(event).collect()
}

fn generate_stream(host: &Host, model: &str, x: &[f32]) -> Result<Reply> {
    let body = json!({ "x": x }).to_string();
    host.post(&format!("/v2/models/{model}/generate_stream"), "application/json", body.as_bytes())
}

#[test]
fn every_answer_is_an_event_and_the_stages_behind_run_for_each() -> Result<()> {
    let host = start("", &["count", "renamed"])?;
    for (model, output) in [("count", "y"), ("renamed", "z")] {
        let events = events(&host, model, &[3.0, 2.0])?;
        let numbers: Vec<&Value> = events.iter().map(|event| &event[output]).collect();
        assert_eq!(numbers, [&json!([0.0, 0.0]), &json!([1.0, 1.0]), &json!([2.0, 2.0])]);
        assert!(events.iter().all(|event| event["model_name"] == model), "{events:?}");
    }
    assert!(events(&host, "count", &[0.0])?.is_empty(), "no answer is a stream, too");
    let config = host.get("/v2/models/count/config")?.json();
    assert_eq!(config["model_transaction_policy"]["decoupled"], true);
    let metadata = host.get("/v2/models/renamed")?.json();
    assert_eq!(metadata["stages"][0], json!({ "name": "streamer", "kind": "generator" }));
    let statistics = host.get("/v2/models/count/stats")?.json();
    assert_eq!(statistics["model_stats"][0]["inference_stats"]["success"]["count"], 2, "{statistics}");
    Ok(())
}

/// A model that streams can serve a request for a single response if it emits exactly one.
#[test]
fn a_request_for_one_response_gets_one_or_an_error() -> Result<()> {
    let host = start("", &["count", "renamed"])?;
    let ask = |count: f32| {
        let x = json!({ "name": "x", "datatype": "FP32", "shape": [1], "data": [count] });
        host.infer("renamed", &json!({ "inputs": [x] }))
    };
    assert_eq!(ask(1.0)?.ok()?.output("z"), [json!(0.0)]);
    ask(2.0)?.refused(400, "multiple_responses", &["\"streamer\" gave more than one answer", "generate_stream"])?;
    ask(0.0)?.refused(400, "multiple_responses", &["gave no answer", "ModelStreamInfer"])?;
    let generated = host.post("/v2/models/count/generate", "application/json", br#"{"x": [1]}"#)?.ok()?;
    assert_eq!(generated.json()["y"], json!(0.0));
    let predicted = host.post("/v1/models/count:predict", "application/json", br#"{"instances": [1, 1]}"#)?;
    assert_eq!(predicted.ok()?.json()["predictions"], json!([0.0]));
    Ok(())
}

/// A failure before the first response sets the HTTP status; a later failure is the last event.
#[test]
fn a_stream_that_fails_reports_it_by_status_or_event() -> Result<()> {
    let host = start("", &["count", "fail", "panic", "other-output"])?;
    generate_stream(&host, "fail", &[0.0])?.refused(400, "invalid_input", &["there is no more"])?;
    generate_stream(&host, "none", &[0.0])?.refused(404, "unknown_model", &[])?;
    let wrong_input = host.post("/v2/models/count/generate_stream", "application/json", br#"{"x": ["a"]}"#)?;
    wrong_input.refused(400, "malformed_request", &["\"x\""])?;
    for (model, code) in [("fail", "invalid_input"), ("panic", "plugin_trap"), ("other-output", "plugin_output")] {
        let events = events(&host, model, &[2.0])?;
        assert_eq!(events.len(), 3, "{events:?}");
        let last = &events[2];
        assert_eq!((last["code"].as_str(), last["model"].as_str()), (Some(code), Some(model)), "{last}");
        assert_eq!(last["stage"], "streamer");
        wait_until(|| Ok(host.metrics()?.contains(&counted(model, code, 1 + u32::from(model == "fail")))))?;
    }
    Ok(())
}

fn counted(model: &str, outcome: &str, count: u32) -> String {
    counted_of("default", model, outcome, count)
}

fn counted_of(tenant: &str, model: &str, outcome: &str, count: u32) -> String {
    format!("bulkhead_requests_total{{model=\"{model}\",outcome=\"{outcome}\",tenant=\"{tenant}\"}} {count}")
}

/// The reply limit applies to all responses of a stream together, and the fuel limit to the whole stream.
#[test]
fn a_whole_stream_is_held_to_the_limits_of_a_call() -> Result<()> {
    let host = start("[http]\nreply-bytes = '64 KiB'\n[call]\nfuel = '200 M'\n", &["go-on", "spin"])?;
    let events = events(&host, "go-on", &[0.0, 100.0])?;
    let last = events.last().context("no event")?;
    assert_eq!(last["code"], "reply_too_large", "{last}");
    assert!(events.len() > 50, "{} events", events.len());
    let bytes: usize = events[..events.len() - 1].iter().map(|event| event.to_string().len()).sum();
    assert!((30 << 10..=64 << 10).contains(&bytes), "{bytes} bytes");
    let events = self::events(&host, "spin", &[2.0])?;
    assert_eq!(events[2]["code"], "limit_fuel", "{events:?}");
    Ok(())
}

/// A connection that the test reads at its own pace.
struct Slow(BufReader<TcpStream>);

impl Slow {
    fn ask(host: &Host, model: &str, x: &[f32]) -> Result<Slow> {
        Slow::over(TcpStream::connect(host.address())?, "", model, x)
    }

    /// Asks with a tenant's key. The kernel keeps little for the reader, so that a short stream has to wait for it.
    fn ask_as(host: &Host, key: &str, model: &str, x: &[f32]) -> Result<Slow> {
        let header = format!("authorization: Bearer {key}\r\n");
        Slow::over(sockets::connect_narrow(host.address())?, &header, model, x)
    }

    fn over(mut stream: TcpStream, header: &str, model: &str, x: &[f32]) -> Result<Slow> {
        let body = json!({ "x": x }).to_string();
        let (path, length) = (format!("/v2/models/{model}/generate_stream"), body.len());
        write!(stream, "POST {path} HTTP/1.1\r\nhost: test\r\n{header}content-length: {length}\r\n\r\n{body}")?;
        Ok(Slow(BufReader::new(stream)))
    }

    /// Reads until the start of this many further events.
    fn read_events(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.next_event().map(drop))
    }

    /// The JSON of the next event.
    fn next_event(&mut self) -> Result<String> {
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.0.read_line(&mut line)? > 0, "there is no further event");
            if let Some(event) = line.strip_prefix("data: ") {
                return Ok(event.to_owned());
            }
        }
    }
}

fn usage(host: &Host, field: &str) -> Result<u64> {
    let usage = host.admin_get("/v1/usage")?.ok()?.json();
    let rows = usage["usage"].as_array().context("no usage")?;
    Ok(rows.iter().filter_map(|row| row[field].as_u64()).sum())
}

/// Waits until the host uses no CPU time for its calls, and returns the reply bytes sent by then.
fn wait_for_standstill(host: &Host) -> Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (sent, before) = (usage(host, "reply_bytes")?, usage(host, "cpu_nanoseconds")?);
        // Longer than other processes keep the host from a core on a busy machine.
        std::thread::sleep(Duration::from_secs(1));
        if usage(host, "cpu_nanoseconds")? == before {
            return Ok(sent);
        }
        ensure!(Instant::now() < deadline, "the plugin continues without a reader: {sent} bytes");
    }
}

#[test]
fn a_slow_reader_slows_the_plugin() -> Result<()> {
    let host =
        start("[http]\nreply-bytes = '1 GiB'\nreply-time = '60s'\n[call]\ntime = '2s'\nfuel = '1 T'\n", &["go-on"])?;
    // Each response is about 2 MB.
    let mut reader = Slow::ask(&host, "go-on", &[0.0, 500_000.0])?;
    reader.read_events(1)?;
    wait_for_standstill(&host)?;
    // Longer than the time limit of the call, which does not count waiting for the reader.
    std::thread::sleep(Duration::from_millis(2500));
    let sent = usage(&host, "reply_bytes")?;
    assert!(sent < 64 << 20, "{sent} bytes were made for a client that reads none");
    assert!(host.metrics()?.contains("bulkhead_calls_in_flight 1"));
    // The stream continues once the reader has taken the data that was already on its way.
    let mut read = 0;
    while usage(&host, "reply_bytes")? == sent {
        reader.read_events(1)?;
        read += 1;
        ensure!(read < 100, "nothing comes after {sent} bytes");
    }
    drop(reader);
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))
}

/// As many slow readers as there are slots, of two tenants: their streams hold none of them while they wait.
#[test]
fn slow_readers_leave_the_slots_to_other_tenants() -> Result<()> {
    const OF_A_TENANT: u32 = 16;
    const EVENTS: usize = 20;
    let host = Start::default().config("[http]\nreply-time = '5m'\n[call]\nfuel = '1 T'\n").start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let ask = |key: &str| Slow::ask_as(&host, key, "count", &[EVENTS as f32, 50_000.0]);
    let mut readers = Vec::new();
    for tenant in ["one", "two"] {
        host.tenant(tenant, &json!({ "streams": OF_A_TENANT }))?;
        acme.push_to(&host, tenant, &Draft::stage("acme/count", "1.0.0", "hostile_streamer", ""))?.ok()?;
        let key = host.key(tenant, "infer")?;
        for _ in 0..OF_A_TENANT {
            readers.push(ask(&key)?);
        }
        wait_until(|| Ok(host.metric("bulkhead_streams_paused")? == readers.len() as u64))?;
        let body = json!({ "x": [1] });
        let more = host.ask_as(&key, "POST", "/v2/models/count/generate_stream", &body)?;
        more.refused(429, "limit_tenant_calls", &["16 streams", "(streams)"])?;
    }
    host.tenant("third", &json!({}))?;
    acme.push_to(&host, "third", &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    let key = host.key("third", "infer")?;
    for _ in 0..100 {
        host.call(&key, "echo", "input")?.ok()?;
    }
    assert_eq!(host.metric("bulkhead_streams_paused")?, readers.len() as u64, "no stream was read or ended");
    for reader in &mut readers {
        reader.read_events(EVENTS)?;
    }
    for tenant in ["one", "two"] {
        wait_until(|| Ok(host.metrics()?.contains(&counted_of(tenant, "count", "ok", OF_A_TENANT))))?;
    }
    wait_until(|| Ok(host.metric("bulkhead_calls_in_flight")? == 0))?;
    assert_eq!(host.metric("bulkhead_streams_paused")?, 0);
    Ok(())
}

#[test]
fn a_reader_that_stands_still_loses_the_stream() -> Result<()> {
    let host =
        start("[http]\nreply-bytes = '1 GiB'\nreply-time = '500ms'\n[call]\ntime = '60s'\nfuel = '1 T'\n", &["go-on"])?;
    let mut reader = Slow::ask(&host, "go-on", &[0.0, 500_000.0])?;
    reader.read_events(1)?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))?;
    wait_until(|| Ok(host.metrics()?.contains(&counted("go-on", "abandoned", 1))))
}

/// When a client disconnects, its computation stops, even if no response is due for a long time, and the fuel burnt until
/// then is charged.
#[test]
fn a_client_that_leaves_stops_the_plugin() -> Result<()> {
    let host = start("[call]\ntime = '60s'\nfuel = '1 T'\n", &["spin", "go-on"])?;
    for (model, number) in [("spin", 1), ("go-on", 1), ("spin", 2)] {
        let mut reader = Slow::ask(&host, model, &[1.0])?;
        reader.read_events(1)?;
        assert!(host.metrics()?.contains("bulkhead_calls_in_flight 1"));
        let left = Instant::now();
        drop(reader);
        wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))?;
        // A time slice is 5 ms; the rest is the time to poll the metrics on a machine that runs other tests.
        assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
        wait_until(|| Ok(host.metrics()?.contains(&counted(model, "abandoned", number))))?;
    }
    let fuel = usage(&host, "fuel")?;
    assert!(fuel > 0, "what was burnt is counted");
    wait_for_standstill(&host)?;
    assert_eq!(usage(&host, "fuel")?, fuel, "and nothing after it");
    Ok(())
}

/// The plugin computes and emits nothing when the key is revoked.
#[test]
fn a_stream_ends_with_an_event_when_its_key_is_revoked() -> Result<()> {
    let host = Start::default().config("[call]\ntime = '60s'\nfuel = '1 T'\n").start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("t", &json!({}))?;
    acme.push_to(&host, "t", &Draft::stage("acme/spin", "1.0.0", "hostile_streamer", "then = \"spin\""))?.ok()?;
    let made = host.admin("POST", "/v1/tenants/t/keys", &json!({ "role": "infer" }))?.ok()?.json();
    let (id, key) = (made["id"].as_str().context("no id")?, made["key"].as_str().context("no key")?);
    let mut reader = Slow::ask_as(&host, key, "spin", &[3.0])?;
    reader.read_events(3)?;
    host.admin("DELETE", &format!("/v1/tenants/t/keys/{id}"), &Value::Null)?.ok()?;
    let last: Value = serde_json::from_str(&reader.next_event()?)?;
    assert_eq!(last["code"], "unauthenticated", "{last}");
    assert!(last["error"].as_str().is_some_and(|text| text.contains("has been revoked")), "{last}");
    wait_until(|| Ok(host.metrics()?.contains(&counted_of("t", "spin", "unauthenticated", 1))))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))
}

/// The expected responses of a trial are compared one by one before the model is served.
#[test]
fn trials_compare_streams() -> Result<()> {
    let trial = |answers: &str| {
        let x = "inputs.x = { datatype = \"FP32\", data = [2.0] }";
        format!("{}\n[[trial]]\nname = \"two\"\n{x}\n{answers}", streamer("tried", "end", ""))
    };
    let answer = |value: &str| format!("[[trial.answers]]\ny = {{ datatype = \"FP32\", data = [{value}] }}\n");
    let files = [component("hostile_streamer"), component("identity")];
    let start = |answers: &str| Start::default().bundle(&trial(answers), &files).start();
    let host = start(&(answer("0.0") + &answer("1.0")))?;
    assert_eq!(events(&host, "tried", &[1.0])?.len(), 1);
    for (answers, why) in [
        (answer("0.0"), "gave 2 answers, and `answers` of the trial expects 1"),
        (answer("0.0") + &answer("7.0"), "output \"y\""),
        (
            "outputs.y = { datatype = \"FP32\", data = [0.0] }".into(),
            "more than one answer: list its answers in `answers`",
        ),
    ] {
        let host = start(&answers)?;
        generate_stream(&host, "tried", &[1.0])?.refused(503, "model_unavailable", &["trial \"two\"", why])?;
    }
    Ok(())
}

#[test]
fn a_pipeline_has_at_most_one_generator() -> Result<()> {
    let twice = r#", { stage = "again", inputs = { x = "y" } }"#;
    let again = "[[plugin]]\nname = \"again\"\ncomponent = \"hostile_streamer.wasm\"\n[pipeline]";
    let manifest = streamer("twice", "end", twice).replace("[pipeline]", again);
    let host = Start::default().bundle(&manifest, &[component("hostile_streamer"), component("identity")]).start()?;
    let refused = generate_stream(&host, "twice", &[1.0])?;
    refused.refused(503, "model_unavailable", &["\"streamer\" and \"again\" are both generators"])?;
    Ok(())
}

/// The deadline applies to the whole stream. The client of this test has no timer of its own, so the status comes from the
/// host.
#[test]
fn a_deadline_ends_a_stream_with_a_status() -> Result<()> {
    let host = start("[call]\ntime = '60s'\nfuel = '1 T'\n", &["go-on", "spin"])?;
    for model in ["go-on", "spin"] {
        let mut stream = Frames::connect(&host.grpc)?;
        let id = stream.call("/inference.GRPCInferenceService/ModelStreamInfer", &[("grpc-timeout", "300m")])?;
        stream.send(DATA, END_STREAM, id, &infer(model, "x", &1_f32.to_le_bytes()))?;
        let answers = stream.answer(id)?;
        let last = String::from_utf8_lossy(&answers[answers.len().saturating_sub(300)..]);
        assert!(last.contains("triton_final_response") && !last.contains("deadline"), "{model}: {last:?}");
        let counted =
            format!("bulkhead_requests_total{{model=\"{model}\",outcome=\"client_deadline\",tenant=\"default\"}} 1");
        wait_until(|| Ok(host.metrics()?.contains(&counted)))?;
    }
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))
}

#[test]
fn tritonclient_streams() -> Result<()> {
    let host = start("[call]\ntime = '60s'\nfuel = '1 T'\n", &["count", "renamed", "go-on", "spin", "fail"])?;
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
    client.arg(repository().join("tests/clients/streaming_client.py")).args(["--url", &host.grpc]);
    succeed(&mut client).with_context(|| host.log())?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_calls_in_flight 0")))?;
    wait_until(|| Ok(host.metrics()?.contains("bulkhead_buffered_bytes 0")))
}
