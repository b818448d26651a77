//! The protocol's extensions: configuration, repository, statistics, settings and `generate`.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};
use system_tests::{
    Draft, Host, Publisher, Shared, Start, component, identity, prepared, repository, succeed, wait_until,
};

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    let renamed = identity("texts", "BYTES", &[1])
        .replace("config = {", "config = { input = \"text_input\", output = \"text_output\", ");
    let start = Start::default().bundle(&identity("rows", "FP32", &[-1, 2]), &files).bundle(&renamed, &files);
    let start = start.bundle(&identity("rows", "FP32", &[-1, 2]).replace("1.0.0", "2.0.0"), &files);
    start.bundle(&identity("broken", "FP32", &[-1]), &[]).start()
});

fn infer(host: &Host, model: &str, data: Value) -> Result<u16> {
    let input = json!({ "name": "input", "datatype": "FP32", "shape": [1, 2], "data": data });
    Ok(host.infer(model, &json!({ "inputs": [input] }))?.status)
}

#[test]
fn the_server_names_what_it_serves() -> Result<()> {
    let extensions = HOST.get().get("/v2")?.json()["extensions"].clone();
    for extension in ["binary_tensor_data", "model_repository", "model_configuration", "statistics", "classification"] {
        assert!(extensions.as_array().is_some_and(|all| all.contains(&json!(extension))), "{extensions}");
    }
    Ok(())
}

#[test]
fn a_model_has_a_configuration_as_load_generators_read_it() -> Result<()> {
    let host = HOST.get();
    assert_eq!((host.get("/v2/health/live/")?.status, host.get("/v2/health/ready/")?.status), (200, 503));
    let config = host.get("/v2/models/rows/config")?.json();
    // Rows of two FP32 values: as many as fit into a request of 64 MiB.
    assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("rows"), &json!(8 << 20)));
    assert_eq!(config["input"][0]["data_type"], "TYPE_FP32");
    assert_eq!((&config["output"][0]["dims"], &config["output"][0]["label_filename"]), (&json!([2]), &json!("")));
    assert_eq!(host.get("/v2/models/texts/config")?.json()["max_batch_size"], 0);
    assert!(config.get("ensemble_scheduling").is_none());
    assert_eq!(host.get("/v2/models/texts/versions/1.0.0/config")?.json()["input"][0]["data_type"], "TYPE_STRING");
    assert_eq!(host.get("/v2/models/none/config")?.status, 404);
    assert_eq!(host.post("/v2/models/rows/config", "", b"")?.status, 405);
    Ok(())
}

#[test]
fn the_repository_lists_what_there_is_and_why_it_is_not_ready() -> Result<()> {
    let host = HOST.get();
    let index = |body: &str| Ok::<Value, anyhow::Error>(host.post("/v2/repository/index", "", body.as_bytes())?.json());
    let all = index("")?;
    let states: Vec<_> = all.as_array().into_iter().flatten().map(|entry| (&entry["name"], &entry["state"])).collect();
    let entry = |name, state: &str| (json!(name), json!(state));
    let wanted =
        [entry("broken", "UNAVAILABLE"), entry("rows", "READY"), entry("rows", "READY"), entry("texts", "READY")];
    assert!(states.iter().zip(&wanted).all(|(state, wanted)| *state == (&wanted.0, &wanted.1)), "{all}");
    assert!(all[0]["reason"].as_str().is_some_and(|reason| reason.contains("identity.wasm")), "{all}");
    assert_eq!(host.post("/v2/repository/ours/index", "", b"")?.json(), all, "the name of the only repository");
    assert_eq!(index("{\"ready\": true}")?.as_array().map(Vec::len), Some(3));
    assert_eq!(index("\u{feff}{\"ready\": true}")?.as_array().map(Vec::len), Some(3), "the mark of UTF-8 is skipped");
    assert_eq!(host.get("/v2/repository/index")?.header("allow"), Some("POST"));
    assert_eq!(host.post("/v2/repository/index", "", b"7")?.json()["code"], "malformed_request");
    assert_eq!(host.post("/v2/repository/index", "", &[b' '; 300_000])?.status, 413);
    assert_eq!(host.post("/v2/repository/models/rows", "", b"")?.status, 404);
    Ok(())
}

#[test]
fn loading_and_unloading_say_what_they_do() -> Result<()> {
    let host = HOST.get();
    let key = host.key("default", "deploy")?;
    let ask = |path: &str, body: &str| {
        let body = serde_json::from_str(body).unwrap_or_default();
        host.ask_as(&key, "POST", &format!("/v2/repository/models/{path}"), &body)
    };
    let told = |reply: system_tests::Reply| (reply.status, reply.json()["code"].as_str().map(str::to_owned));
    assert_eq!(told(ask("rows/load", "{}")?), (200, None));
    assert_eq!(told(ask("none/load", "")?), (404, Some("unknown_model".into())));
    assert_eq!(told(ask("broken/load", "")?), (503, Some("model_unavailable".into())));
    assert_eq!(told(ask("rows/load", r#"{"parameters": {"config": "{}"}}"#)?), (400, Some("not_supported".into())));
    let unload = ask("rows/unload", r#"{"parameters": {"unload_dependents": false}}"#)?;
    assert!(unload.body.contains("operator"), "{unload:?}");
    assert_eq!(told(host.post("/v2/repository/models/rows/load", "", b"")?), (403, Some("insufficient_role".into())));
    assert_eq!(told(unload), (400, Some("not_supported".into())));
    assert_eq!(told(ask("none/unload", "")?), (404, Some("unknown_model".into())));
    assert_eq!(infer(&host, "rows", json!([1, 2]))?, 200);
    Ok(())
}

/// An unloaded model stays in the index, so that a client can find it and load it again.
#[test]
fn an_unloaded_model_is_listed_and_comes_back() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    let key = host.key("default", "deploy")?;
    let ask = |verb: &str| host.ask_as(&key, "POST", &format!("/v2/repository/models/echo/{verb}"), &json!({}))?.ok();
    let index = |body: &str| Ok::<Value, anyhow::Error>(host.post("/v2/repository/index", "", body.as_bytes())?.json());
    let listed =
        |state: &str, reason: &str| json!([{ "name": "echo", "version": "1.0.0", "state": state, "reason": reason }]);
    ask("unload")?;
    assert_eq!(index("")?, listed("UNAVAILABLE", "unloaded"));
    assert_eq!(index("{\"ready\": true}")?, json!([]));
    assert_eq!(host.get("/v2/models/echo/ready")?.status, 404);
    ask("load")?;
    assert_eq!(index("")?, listed("READY", ""));
    Ok(())
}

/// A model that has pre-releases only is loaded, and answers the calls that name one. One whose label names what is not served
/// any more is not: calls that name no version would be refused.
#[test]
fn a_model_with_pre_releases_only_is_loaded() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0-rc.1"))?.ok()?;
    let key = host.key("default", "deploy")?;
    let ask = |verb: &str| host.ask_as(&key, "POST", &format!("/v2/repository/models/echo/{verb}"), &json!({}));
    ask("unload")?.ok()?;
    ask("load")?.ok()?;
    host.get("/v2/models/echo/versions/1.0.0-rc.1/ready")?.ok()?;
    host.get("/v2/models/echo")?.refused(404, "unknown_version", &["pre-releases only"])?;
    ask("load")?.ok()?;
    Ok(())
}

/// A load is answered when the model answers calls, on any connection, and fails with the reason if it cannot; a later load
/// tries again.
#[test]
fn a_load_is_answered_when_the_model_is_ready() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let draft = Draft::identity("acme/echo", "1.0.0").file("note.txt", "a note".as_bytes().to_vec());
    acme.push(&host, &draft)?.ok()?;
    let key = host.key("default", "deploy")?;
    let ask = |verb: &str| host.ask_as(&key, "POST", &format!("/v2/repository/models/echo/{verb}"), &json!({}));
    for _ in 0..10 {
        ask("unload")?.ok()?;
        ask("load")?.ok()?;
        assert_eq!(host.version("", "echo")?, "1.0.0");
    }
    let over_grpc = |more: &[&str]| {
        let mut client = Command::new(prepared("BULKHEAD_PYTHON_GRPC"));
        client.arg(repository().join("tests/clients/grpc_repository.py")).env("BULKHEAD_KEY", &key);
        succeed(client.args(["--url", &host.grpc, "--model", "echo", "--input", "input"]).args(more))
    };
    over_grpc(&[])?;
    let blobs = std::fs::read_dir(host.data().join("blobs"))?.map(|entry| Ok(entry?.path()));
    let blobs = blobs.collect::<Result<Vec<_>>>()?;
    let blob = blobs.iter().find(|blob| std::fs::read(blob).is_ok_and(|bytes| bytes == b"a note"));
    let blob = blob.ok_or_else(|| anyhow::anyhow!("no blob has the note"))?;
    ask("unload")?.ok()?;
    std::fs::remove_file(blob)?;
    std::fs::write(blob, "another")?;
    for _ in 0..2 {
        ask("load")?.refused(503, "model_unavailable", &["version 1.0.0", "could not be activated"])?;
    }
    over_grpc(&["--fails", "version 1.0.0 could not be activated"])?;
    std::fs::write(blob, "a note")?;
    ask("load")?.ok()?;
    assert_eq!(host.version("", "echo")?, "1.0.0");
    Ok(())
}

#[test]
fn statistics_count_what_happened() -> Result<()> {
    let host = Start::default().bundle(&identity("rows", "FP32", &[-1, 2]), &[component("identity")]).start()?;
    let stats = || {
        Ok::<Value, anyhow::Error>(host.get("/v2/models/rows/versions/1.0.0/stats")?.json()["model_stats"][0].clone())
    };
    assert_eq!((stats()?["inference_count"].as_u64(), stats()?["batch_stats"].clone()), (Some(0), json!([])));
    for _ in 0..3 {
        assert_eq!(infer(&host, "rows", json!([1, 2]))?, 200);
    }
    assert_eq!(infer(&host, "rows", json!(["x"]))?, 400);
    let stats = stats()?;
    let times = &stats["inference_stats"];
    let count = |what: &str| times[what]["count"].as_u64();
    assert_eq!(
        (&stats["name"], &stats["version"], &stats["execution_count"]),
        (&json!("rows"), &json!("1.0.0"), &json!(3))
    );
    assert_eq!(
        (count("success"), count("fail"), count("compute_infer"), count("cache_hit")),
        (Some(3), Some(1), Some(3), Some(0))
    );
    let nanoseconds = |what: &str| times[what]["ns"].as_u64().unwrap_or_default();
    let parts = ["queue", "compute_input", "compute_infer", "compute_output"].map(nanoseconds);
    assert!(parts.iter().all(|part| *part > 0), "{times}");
    assert_eq!(nanoseconds("success"), parts.iter().sum::<u64>());
    assert!(stats["last_inference"].as_u64().is_some_and(|time| time > 1_600_000_000_000));
    assert_eq!(stats["batch_stats"][0]["batch_size"], 1);
    assert_eq!(host.get("/v2/models/stats")?.json()["model_stats"].as_array().map(Vec::len), Some(1));
    assert_eq!(host.get("/v2/models/none/stats")?.status, 404);
    Ok(())
}

#[test]
fn generate_takes_and_gives_plain_objects() -> Result<()> {
    let host = HOST.get();
    let ask = |path: &str, body: Value| {
        host.post(&format!("/v2/models/{path}"), "application/json", body.to_string().as_bytes())
    };
    let reply = ask("texts/generate", json!({ "id": "42", "text_input": "hello", "parameters": { "stream": false } }))?;
    let wanted = json!({ "id": "42", "model_name": "texts", "model_version": "1.0.0", "text_output": "hello" });
    assert_eq!((reply.status, reply.json()), (200, wanted));
    let reply = ask("rows/versions/1.0.0/generate", json!({ "input": [1, 2, 3, 4] }))?;
    assert_eq!(reply.json()["output"], json!([[1.0, 2.0], [3.0, 4.0]]), "{reply:?}");
    let reply = ask("rows/versions/1.0.0/generate", json!({ "input": [[1, 2], [3, 4], [5, 6]] }))?;
    assert_eq!(reply.json()["output"], json!([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), "{reply:?}");
    let reply = ask("rows/versions/1.0.0/generate", json!({ "parameters": { "input": [1, 2], "k": 2 } }))?;
    assert_eq!(reply.json()["output"], json!([[1.0, 2.0]]), "{reply:?}");
    let reply = ask("rows/versions/1.0.0/generate", json!({ "input": [[1, 2, 3, 4]] }))?;
    assert_eq!(reply.status, 400, "{reply:?}");
    let plain = |verb: &str| host.post(&format!("/v2/models/texts/{verb}"), "text/plain", "a text".as_bytes());
    assert_eq!(plain("generate")?.json()["text_output"], "a text", "a plain body is the only input");
    assert!(plain("generate_stream")?.body.contains("\"text_output\":\"a text\""));
    let reply = ask("texts/generate_stream", json!({ "text_input": "a\nb" }))?;
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let event = reply.body.strip_prefix("data: ").and_then(|event| event.strip_suffix("\n\n")).unwrap_or_default();
    assert_eq!(serde_json::from_str::<Value>(event)?["text_output"], "a\nb", "{reply:?}");
    let refused = ask("texts/generate_stream", json!({ "text_output": "x" }))?;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("invalid_input")), "{refused:?}");
    assert_eq!(ask("rows/generate", json!({ "input": [1, 2, 3] }))?.status, 400);
    Ok(())
}

#[test]
fn the_operator_can_change_the_log() -> Result<()> {
    let host = Start::default().start()?;
    assert_eq!(host.get("/v2/logging")?.json()["code"], "insufficient_role");
    assert_eq!(host.post("/v2/logging", "", b"{\"log_verbose_level\": 2}")?.status, 403);
    assert_eq!(host.get("/v2/trace/setting")?.status, 403);
    assert_eq!(host.admin_get("/v2/logging")?.json()["log_verbose_level"], 0);
    let changed = host.admin_post("/v2/logging", &json!({ "log_info": false }))?;
    assert_eq!((changed.status, &changed.json()["log_level"]), (200, &json!("warn")));
    host.get("/nothing")?;
    let loud = host.admin_post("/v2/logging", &json!({ "log_level": "info,bulkhead=debug" }))?.json();
    assert_eq!((&loud["log_verbose_level"], &loud["log_level"]), (&json!(1), &json!("info,bulkhead=debug")));
    host.get("/nothing/else")?;
    wait_until(|| Ok(host.log().matches("request refused").count() >= 4))?;
    assert_eq!(host.log().matches("unknown_endpoint").count(), 1, "the first came at level warn");
    for (change, phrase) in [
        (json!({ "log_warning": false }), "without"),
        (json!({ "log_file": "/tmp/x" }), "standard error"),
        (json!({ "log_level": "=loud=" }), "must be a level or directives"),
        (json!({ "log_level": "warning" }), "off, error, warn, info, debug, trace"),
        (json!({ "log_level": "" }), "off, error, warn, info, debug, trace"),
        (json!({ "log_colour": "red" }), "log_colour"),
        (json!({ "log_info": "yes" }), "boolean"),
    ] {
        let reply = host.admin_post("/v2/logging", &change)?;
        assert!(reply.status == 400 && reply.body.contains(phrase), "{change}: {reply:?}");
    }
    Ok(())
}

#[test]
fn traces_are_off_and_say_so() -> Result<()> {
    let host = Start::default().start()?;
    assert_eq!(host.admin_get("/v2/trace/setting")?.json()["trace_level"], json!(["OFF"]));
    assert_eq!(
        host.admin_post("/v2/trace/setting", &json!({ "trace_level": ["OFF"], "trace_rate": null }))?.status,
        200
    );
    let refused = host.admin_post("/v2/trace/setting", &json!({ "trace_level": ["TIMESTAMPS"] }))?;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("not_supported")));
    Ok(())
}

#[test]
fn shared_memory_is_refused_with_an_explanation() -> Result<()> {
    let host = HOST.get();
    for path in ["systemsharedmemory/region/a/register", "cudasharedmemory/unregister"] {
        let reply = host.post(&format!("/v2/{path}"), "", b"{}")?;
        assert!(reply.status == 400 && reply.body.contains("binary data"), "{reply:?}");
    }
    Ok(())
}
