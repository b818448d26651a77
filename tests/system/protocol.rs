//! The Open Inference Protocol, used as clients use it.

use anyhow::Result;
use serde_json::{Value, json};
use system_tests::{Shared, Start, component, identity, repository};

/// Values of each datatype that a request and its reply preserve, at the limits of the range.
fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("BOOL", json!([true, false])),
        ("UINT8", json!([0, 255])),
        ("UINT16", json!([0, 65535])),
        ("UINT32", json!([0, u32::MAX])),
        ("UINT64", json!([0, u64::MAX])),
        ("INT8", json!([-128, 127])),
        ("INT16", json!([-32768, 32767])),
        ("INT32", json!([i32::MIN, i32::MAX])),
        ("INT64", json!([i64::MIN, i64::MAX])),
        ("FP16", json!([-65504.0, 0.5])),
        ("BF16", json!([-1.0, 256.0])),
        ("FP32", json!([-1.5, 3.4028235e38])),
        ("FP64", json!([2.5e-308, 1.7976931348623157e308])),
        ("BYTES", json!(["", "Grüße, \u{1F600} \"\\\n"])),
    ]
}

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    let mut start = Start::default();
    for (datatype, _) in values() {
        let manifest = identity(&format!("identity-{}", datatype.to_lowercase()), datatype, &[-1]);
        start = start.bundle(&manifest, &files);
    }
    let older = identity("versioned", "FP32", &[-1]);
    let newer = identity("versioned", "FP32", &[-1, 2]).replace("1.0.0", "1.10.0");
    let middle = identity("versioned", "FP32", &[-1, 3]).replace("1.0.0", "1.9.0");
    start.bundle(&newer, &files).bundle(&older, &files).bundle(&middle, &files).start()
});

fn one_input(datatype: &str, shape: Value, data: Value) -> Value {
    json!({ "inputs": [{ "name": "input", "datatype": datatype, "shape": shape, "data": data }] })
}

#[test]
fn every_datatype_comes_back_as_it_went() -> Result<()> {
    let host = HOST.get();
    for (datatype, data) in values() {
        let reply = host
            .infer(&format!("identity-{}", datatype.to_lowercase()), &one_input(datatype, json!([2]), data.clone()))?;
        assert_eq!(reply.status, 200, "{datatype}: {reply:?}");
        let output = &reply.json()["outputs"][0];
        assert_eq!(output["datatype"], datatype);
        assert_eq!(output["shape"], json!([2]));
        assert_eq!(output["data"], data, "{datatype}");
    }
    Ok(())
}

#[test]
fn nested_data_zero_elements_and_ids() -> Result<()> {
    let host = HOST.get();
    let mut request = one_input("FP32", json!([2, 2]), json!([[1, 2], [3, 4]]));
    request["id"] = json!("my request");
    let reply = host.infer("versioned", &request)?;
    assert_eq!(reply.json()["id"], "my request");
    assert_eq!(reply.output("output"), [1.0, 2.0, 3.0, 4.0]);
    let empty = host.infer("identity-fp32", &one_input("FP32", json!([0]), json!([])))?;
    assert_eq!((empty.status, empty.output("output").len()), (200, 0));
    Ok(())
}

#[test]
fn versions_are_chosen_by_name_and_the_newest_is_the_default() -> Result<()> {
    let host = HOST.get();
    let metadata = host.get("/v2/models/versioned")?.json();
    assert_eq!(metadata["versions"], json!(["1.0.0", "1.9.0", "1.10.0"]));
    assert_eq!(metadata["inputs"], json!([{ "name": "input", "datatype": "FP32", "shape": [-1, 2] }]));
    let older = host.get("/v2/models/versioned/versions/1.9.0")?.json();
    assert_eq!(older["inputs"][0]["shape"], json!([-1, 3]));
    let path = "/v2/models/versioned/versions/1.9.0/infer";
    let body = one_input("FP32", json!([1, 3]), json!([1, 2, 3])).to_string();
    let reply = host.post(path, "application/json", body.as_bytes())?;
    assert_eq!(reply.json()["model_version"], "1.9.0");
    let unknown = host.get("/v2/models/versioned/versions/7.0.0")?;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("unknown_version")));
    assert!(unknown.body.contains("1.0.0, 1.9.0, 1.10.0"), "{unknown:?}");
    Ok(())
}

#[test]
fn health_and_readiness() -> Result<()> {
    let host = HOST.get();
    assert_eq!(host.get("/v2/health/live")?.json(), json!({ "live": true }));
    assert_eq!(host.get("/v2/health/ready")?.json(), json!({ "ready": true }));
    assert_eq!(host.get("/v2/models/versioned/ready")?.status, 200);
    assert_eq!(host.get("/v2/models/versioned/versions/1.0.0/ready")?.status, 200);
    assert_eq!(host.get("/v2/models/none/ready")?.status, 404);
    Ok(())
}

#[test]
fn only_wanted_outputs_are_given() -> Result<()> {
    let host = HOST.get();
    let mut request = one_input("FP32", json!([1]), json!([1]));
    request["outputs"] = json!([{ "name": "output" }]);
    assert_eq!(host.infer("identity-fp32", &request)?.status, 200);
    request["outputs"] = json!([{ "name": "other" }]);
    let reply = host.infer("identity-fp32", &request)?;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("no output \\\"other\\\"; the model gives: \\\"output\\\""), "{reply:?}");
    Ok(())
}

#[test]
fn a_plain_body_is_the_only_bytes_input() -> Result<()> {
    let host = HOST.get();
    let reply = host.post("/v2/models/identity-bytes/infer", "text/plain", "some text".as_bytes())?;
    assert_eq!(reply.output("output"), ["some text"]);
    let request = one_input("BYTES", json!([1]), json!(["harmless"])).to_string();
    let reply = host.post("/v2/models/identity-bytes/infer", "text/plain", request.as_bytes())?;
    reply.refused(415, "unsupported_media_type", &["text/plain"])?;
    let other = one_input("BYTES", json!([1]), json!(["harmless"])).to_string().replace("\"input\"", "\"another\"");
    let reply = host.post("/v2/models/identity-bytes/infer", "text/plain", other.as_bytes())?;
    assert_eq!(reply.output("output"), [other.as_str()], "a text that is no request of this model is a text");
    let file = host.post("/v2/models/identity-bytes/infer", "application/octet-stream", b"{\"a\": 1}")?;
    assert_eq!(file.output("output"), ["{\"a\": 1}"], "JSON that is not a request is taken as plain bytes");
    for value in ["{\"a\": [1, 2]}", "[\"x\"]", "7"] {
        let reply = host.post("/v2/models/identity-bytes/infer", "application/json", value.as_bytes())?;
        assert_eq!(reply.output("output"), [value], "JSON that is no request is the input");
    }
    for content_type in ["", "application/x-www-form-urlencoded"] {
        let reply = host.post("/v2/models/identity-bytes/infer", content_type, b"{\"inptus\": []}")?;
        reply.refused(400, "malformed_request", &["missing field `inputs`"])?;
    }
    let reply =
        host.post("/v2/models/identity-bytes/infer", "application/json", b"{\"inputs\": [{\"name\": \"a\"}]}")?;
    reply.refused(400, "malformed_request", &["missing field"])?;
    let empty = "\u{feff}{\"inputs\": []}";
    for content_type in ["text/plain", "application/octet-stream"] {
        let reply = host.post("/v2/models/identity-bytes/infer", content_type, empty.as_bytes())?;
        assert_eq!(reply.output("output"), [empty], "a request without inputs is none of this model");
        let marked = format!("\u{feff}{}", one_input("FP32", json!([1]), json!([7])));
        let reply = host.post("/v2/models/identity-fp32/infer", content_type, marked.as_bytes())?;
        assert_eq!(reply.output("output"), [7.0], "{content_type}");
    }
    let reply = host.post("/v2/models/identity-bytes/infer", "application/octet-stream", &[0xff, 0xfe])?;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (406, Some("output_not_utf8")));
    Ok(())
}

/// tritonclient sends no content type, and `curl -d` sends that of a form.
#[test]
fn json_is_understood_without_its_content_type() -> Result<()> {
    let host = HOST.get();
    let body = one_input("FP32", json!([1]), json!([7])).to_string();
    let (octets, browser) = ("application/octet-stream", "text/plain;charset=UTF-8");
    for content_type in ["", "application/x-www-form-urlencoded", "application/json; charset=utf-8", octets, browser] {
        let reply = host.post("/v2/models/identity-fp32/infer", content_type, body.as_bytes())?;
        assert_eq!(reply.status, 200, "{content_type}: {reply:?}");
    }
    Ok(())
}

#[test]
fn request_ids_come_back_and_are_made_where_there_is_none() -> Result<()> {
    let host = HOST.get();
    let reply = host.get("/v2/models/none")?;
    let made = reply.header("x-request-id").unwrap_or_default().to_owned();
    assert!(!made.is_empty());
    assert_eq!(reply.json()["request_id"], made);
    assert_ne!(host.get("/v2/models/none")?.header("x-request-id"), Some(made.as_str()));
    Ok(())
}

#[test]
fn stages_that_do_not_fit_are_found_when_the_pipeline_is_built() -> Result<()> {
    let two_stages = |first: &str, second: &str, stages: &str| {
        let plugin = |name: &str, config: &str| {
            format!("[[plugin]]\nname = \"{name}\"\ncomponent = \"identity.wasm\"\nconfig = {config}\n")
        };
        let head = "[bundle]\nname = \"test/mismatch\"\nversion = \"1.0.0\"\n";
        format!("{head}{}{}[pipeline]\nstages = {stages}\n", plugin("first", first), plugin("second", second))
    };
    let fp32 = "{ output = \"y\" }";
    for (manifest, wanted) in [
        (
            two_stages(fp32, "{ input = \"z\" }", "[\"first\", \"second\"]"),
            "stage \"second\" wants z FP32[-1], and nothing before it gives \"z\"; there are: input FP32[-1], y FP32[-1]",
        ),
        (
            two_stages(fp32, "{ input = \"y\", datatype = \"INT64\" }", "[\"first\", \"second\"]"),
            "stage \"second\" does not fit what stage \"first\" gives: tensor \"y\" has datatype FP32, and INT64 is wanted",
        ),
        (
            two_stages(fp32, "{ input = \"y\", shape = [-1, 3] }", "[\"first\", \"second\"]"),
            "tensor \"y\" has shape [-1], and [-1, 3] is wanted",
        ),
        (
            two_stages(fp32, "{}", "[\"first\", { stage = \"second\", inputs = { x = \"y\" } }]"),
            "stage \"second\": the manifest maps \"x\", and its signature has: \"input\"",
        ),
    ] {
        let host = Start::default().bundle(&manifest, &[component("identity")]).start()?;
        let reply = host.get("/v2/models/mismatch")?;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (503, Some("model_unavailable")));
        let error = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(wanted), "{wanted} is not in: {error}");
        assert_eq!(host.get("/v2/health/ready")?.status, 503);
    }
    let renamed = two_stages(
        fp32,
        "{}",
        "[\"first\", { stage = \"second\", inputs = { input = \"y\" }, outputs = { output = \"z\" } }]",
    );
    let host = Start::default().bundle(&renamed, &[component("identity")]).start()?;
    assert_eq!(host.infer("mismatch", &one_input("FP32", json!([1]), json!([3])))?.output("z"), [3.0]);
    Ok(())
}

#[test]
fn a_file_that_is_no_graph_is_an_error_and_not_a_crash() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let onnx = std::fs::read(repository().join("examples/digits/digits.onnx"))?;
    let manifest = "[bundle]\nname = \"test/torn\"\nversion = \"1.0.0\"\n[[graph]]\nname = \"cnn\"\nfile = \"torn.onnx\"\n[pipeline]\nstages = [\"cnn\"]\n";
    let torn = folder.path().join("torn.onnx");
    for content in [&onnx[..onnx.len() / 2], b"not a graph at all", b""] {
        std::fs::write(&torn, content)?;
        let host = Start::default().bundle(manifest, std::slice::from_ref(&torn)).start()?;
        let reply = host.get("/v2/models/torn")?;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.body.contains("graph \\\"cnn\\\": "), "{reply:?}");
    }
    Ok(())
}

/// A model of a graph alone, without a plugin, whose batch size is variable.
#[test]
fn a_graph_alone_is_a_model() -> Result<()> {
    let manifest = "[bundle]\nname = \"test/cnn\"\nversion = \"1.0.0\"\n[[graph]]\nname = \"cnn\"\nfile = \"digits.onnx\"\n[pipeline]\nstages = [\"cnn\"]\n";
    let host = Start::default().bundle(manifest, &[repository().join("examples/digits/digits.onnx")]).start()?;
    assert_eq!(host.get("/v2/models/cnn")?.json()["inputs"][0]["shape"], json!([-1, 1, 8, 8]));
    for batch in [1, 2, 7] {
        let image =
            json!({ "name": "image", "datatype": "FP32", "shape": [batch, 1, 8, 8], "data": vec![0.5; batch * 64] });
        let reply = host.infer("cnn", &json!({ "inputs": [image] }))?;
        assert_eq!(reply.json()["outputs"][0]["shape"], json!([batch, 10]), "{reply:?}");
    }
    Ok(())
}

#[test]
fn a_bundle_whose_file_is_missing_is_known_by_its_reason() -> Result<()> {
    let host = Start::default().bundle(&identity("fileless", "FP32", &[-1]), &[]).start()?;
    let reply = host.get("/v2/models/fileless")?;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (503, Some("model_unavailable")));
    assert!(reply.body.contains("identity.wasm"), "{reply:?}");
    assert_eq!(host.get("/v2/health/ready")?.json(), json!({ "ready": false }));
    let host = Start::default().bundle("not a manifest", &[]).start()?;
    assert_eq!(host.get("/v2/health/ready")?.status, 503);
    Ok(())
}

/// Every error is JSON with the request's id, including those that no handler of the host produced.
#[test]
fn refusals_of_every_kind_have_the_same_form() -> Result<()> {
    let host = HOST.get();
    for (reply, status) in [
        (host.post("/v2", "", b"")?, 405),
        (host.post("/v2/health/live", "", b"")?, 405),
        (host.admin("DELETE", "/v1/bundles", &Value::Null)?, 405),
        (host.get("/v2/models/%ff")?, 404),
        (host.get("/nothing")?, 404),
        (host.post("/v2/repository/index", "", b"[]")?, 400),
    ] {
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(reply.json()["request_id"].as_str(), reply.header("x-request-id"), "{reply:?}");
    }
    let wrong = host.admin("DELETE", "/v1/bundles", &Value::Null)?;
    assert_eq!((wrong.header("allow"), wrong.json()["code"].as_str()), (Some("GET, POST"), Some("method_not_allowed")));
    Ok(())
}

#[test]
fn optional_fields_may_be_null() -> Result<()> {
    let host = HOST.get();
    let mut request = one_input("FP32", json!([1]), json!([1]));
    for field in ["id", "parameters", "outputs"] {
        request[field] = json!(null);
    }
    assert_eq!(host.infer("identity-fp32", &request)?.status, 200);
    Ok(())
}

/// Graphs that are refused when they are loaded; the error tells the publisher why.
#[test]
fn graphs_that_cannot_be_priced_or_planned_are_refused_by_name() -> Result<()> {
    for (graph, wanted) in [
        ("range-to-input", "makes a tensor whose size depends on the values of others"),
        ("unknown-operator", "operators that this host does not have: Frobnicate"),
    ] {
        let manifest = format!(
            "[bundle]\nname = \"test/{graph}\"\nversion = \"1.0.0\"\n[[graph]]\nname = \"g\"\nfile = \"{graph}.onnx\"\n[pipeline]\nstages = [\"g\"]\n"
        );
        let file = repository().join("tests/graphs").join(graph).with_extension("onnx");
        let host = Start::default().bundle(&manifest, &[file]).start()?;
        let reply = host.get(&format!("/v2/models/{graph}"))?;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.body.contains(wanted), "{reply:?}");
    }
    Ok(())
}
