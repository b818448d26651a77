//! TensorFlow Serving's protocols, used as its clients use them.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{
    Draft, Host, Publisher, Reply, Shared, Start, component, identity, labelled, labelled_files, prepared, repository,
    succeed,
};

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

/// An identity model with these names of the input and the output.
fn named(model: &str, input: &str, output: &str, datatype: &str, shape: &[i64]) -> String {
    identity(model, datatype, shape)
        .replace("config = {", &format!("config = {{ input = \"{input}\", output = \"{output}\","))
}

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    let mut start = Start::default().config("[http]\nrequest-bytes = '1 MiB'\nreply-bytes = '1 MiB'\n");
    for datatype in DATATYPES {
        let manifest = identity(&format!("identity-{}", datatype.to_lowercase()), datatype, &[-1, -1]);
        start = start.bundle(&manifest, &files);
    }
    for version in ["1.0.0", "1.9.0", "2.0.0"] {
        start = start.bundle(&identity("versioned", "FP32", &[-1, -1]).replace("1.0.0", version), &files);
    }
    start = start.bundle(&identity("broken", "FP32", &[-1]), &[]);
    start = start.bundle(&identity("values", "FP32", &[-1]), &files);
    start = start.bundle(&labelled(), &labelled_files());
    start = start.bundle(&named("objects", "x", "y", "BYTES", &[-1]), &files);
    start = start.bundle(&named("named", "x", "image_bytes", "BYTES", &[-1]), &files);
    start.start()
});

fn post(address: &str, body: &Value) -> Result<Reply> {
    HOST.get().post(&format!("/v1/models/{address}"), "application/json", body.to_string().as_bytes())
}

#[test]
fn a_client_without_tensorflow_is_served() -> Result<()> {
    let _host = HOST.get();
    client(&HOST.get(), &[])
}

fn client(host: &Host, arguments: &[&str]) -> Result<()> {
    let mut client = Command::new(prepared("BULKHEAD_PYTHON_TFSERVING"));
    client.arg(repository().join("tests/clients/tfserving_client.py")).args(["--url", &host.grpc]);
    succeed(client.args(arguments)).with_context(|| host.log())?;
    Ok(())
}

/// Labels in the path (`/labels/L`), and `version_label` over gRPC.
#[test]
fn labels_find_their_version() -> Result<()> {
    let _host = HOST.get();
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    for version in ["1.0.0", "2.0.0"] {
        acme.push(&host, &Draft::identity("acme/echo", version))?.ok()?;
    }
    host.admin("PUT", "/v1/models/echo/labels/old", &json!({ "version": "1.0.0" }))?.ok()?;
    let body = json!({ "instances": [1.5] }).to_string();
    let predict = |address: &str| host.post(address, "application/json", body.as_bytes());
    assert_eq!(predict("/v1/models/echo/labels/old:predict")?.json(), json!({ "predictions": [1.5] }));
    predict("/v1/models/echo/labels/new:predict")?.refused(404, "unknown_version", &["old"])?;
    let of = |address: &str| Ok::<_, anyhow::Error>(host.get(address)?.json());
    assert_eq!(of("/v1/models/echo/labels/old")?["model_version_status"][0]["version"], "1");
    assert_eq!(of("/v1/models/echo/labels/old/metadata")?["model_spec"]["version"], "1");
    assert_eq!(of("/v1/models/echo/metadata")?["model_spec"]["version"], "2");
    client(&host, &["--label", "old"])
}

/// NaN and infinities in requests and replies, written as TensorFlow Serving's documentation shows.
#[test]
fn nan_and_infinities_are_written_as_words() -> Result<()> {
    let _host = HOST.get();
    let ask = |address: &str, body: &str| HOST.get().post(address, "application/json", body.as_bytes());
    for (body, wanted) in [
        (r#"{"instances": [[NaN, -Infinity, 1.5]]}"#, r#"{"predictions": [[NaN, -Infinity, 1.5]]}"#),
        (r#"{"instances": [{"input": [Infinity]}]}"#, r#"{"predictions": [[Infinity]]}"#),
        (r#"{"inputs": {"input": [[NaN]]}}"#, r#"{"outputs": [[NaN]]}"#),
    ] {
        assert_eq!(ask("/v1/models/identity-fp32:predict", body)?.body, wanted);
    }
    let values = ask("/v1/models/values:regress", r#"{"examples": [{"input": NaN}, {"input": [Infinity]}]}"#)?;
    assert_eq!(values.body, r#"{"results": [NaN, Infinity]}"#);
    let wrong = ask("/v1/models/identity-fp32:predict", r#"{"instances": [[nan]]}"#)?;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    Ok(())
}

/// Invalid JSON at positions that different parsers of the host read.
#[test]
fn invalid_json_is_refused_at_its_position() -> Result<()> {
    let _host = HOST.get();
    for (body, wanted) in [
        (r#"{"instances": [[1.0"#, "JSON Parse error"),
        (r#"{"instances": }"#, "JSON Parse error"),
        (r#"{"instances": [[1.0]]} x"#, "JSON Parse error"),
        (r#"{"instances": [[1.0]], "instances": [[1.0]]}"#, "duplicate field"),
        (r#"{"instances": [[1.0 2.0]]}"#, "expected value, comma or end"),
        (r#"{"instances": [{"input": [1.0]} {}]}"#, "JSON Parse error"),
        (r#"{"inputs": {"input": [[1.0]]x}}"#, "JSON Parse error"),
        (r#"{"inputs": 1.0x}"#, "expected the end"),
    ] {
        let reply = HOST.get().post("/v1/models/identity-fp32:predict", "application/json", body.as_bytes())?;
        let error = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(reply.status == 400 && error.contains(wanted), "{body}: {reply:?}");
    }
    Ok(())
}

#[test]
fn rows_come_back_as_predictions_and_columns_as_outputs() -> Result<()> {
    let _host = HOST.get();
    for (model, value) in [
        ("identity-bool", json!([[true, false]])),
        ("identity-uint8", json!([[0, 255]])),
        ("identity-uint64", json!([[0, u64::MAX]])),
        ("identity-int64", json!([[i64::MIN, i64::MAX], [1, 2]])),
        ("identity-fp16", json!([[0.5], [1.5]])),
        ("identity-bf16", json!([[256.0]])),
        ("identity-fp32", json!([[1.5, -2.0, 3.0], [4.0, 5.0, 6.0]])),
        ("identity-fp64", json!([[2.5e-308]])),
        ("identity-bytes", json!([["", "Grüße \"\\"]])),
        ("values", json!([1.0, 2.0, 5.0])),
    ] {
        let rows = post(&format!("{model}:predict"), &json!({ "instances": value }))?;
        assert_eq!((rows.status, rows.json()), (200, json!({ "predictions": value })), "{model}");
        let columns = post(&format!("{model}:predict"), &json!({ "inputs": value }))?;
        assert_eq!((columns.status, columns.json()), (200, json!({ "outputs": value })), "{model}");
        let named = post(&format!("{model}:predict"), &json!({ "inputs": { "input": value } }))?;
        assert_eq!(named.json(), json!({ "outputs": value }), "{model}");
        let rows: Value = value.as_array().into_iter().flatten().map(|row| json!({ "input": row })).collect();
        let rows = post(&format!("{model}:predict"), &json!({ "instances": rows }))?;
        assert_eq!(rows.json(), json!({ "predictions": value }), "{model}: {rows:?}");
    }
    Ok(())
}

#[test]
fn bytes_are_base64_in_both_directions() -> Result<()> {
    let _host = HOST.get();
    let rows = json!({ "instances": [{ "b64": "/wA=" }, "text", { "b64": "YQ" }] });
    let reply = post("named:predict", &rows)?;
    assert_eq!(reply.json(), json!({ "predictions": [{ "b64": "/wA=" }, { "b64": "dGV4dA==" }, { "b64": "YQ==" }] }));
    let named = post("named:predict", &json!({ "instances": [{ "x": { "b64": "/wA=" } }] }))?;
    assert_eq!(named.json(), json!({ "predictions": [{ "b64": "/wA=" }] }));
    let torn = post("identity-bytes:predict", &json!({ "inputs": [[{ "b64": "/wA=" }]] }))?;
    assert_eq!((torn.status, torn.json()["code"].as_str()), (406, Some("output_not_utf8")), "{torn:?}");
    assert!(torn.body.contains("ends in _bytes") && !torn.body.contains("binary_data"), "{torn:?}");
    let wrapped = post("named:predict", &json!({ "instances": [{ "b64": "_-\n8_" }, { "b64": "/+8/" }] }))?;
    assert_eq!(wrapped.json(), json!({ "predictions": [{ "b64": "/+8/" }, { "b64": "/+8/" }] }));
    Ok(())
}

/// TensorFlow Serving has no parameters, and Vertex AI's requests, which have the same form, do. The model answers with as
/// many classes as the parameter `top_k` says.
#[test]
fn parameters_come_in_the_body_or_in_the_address() -> Result<()> {
    let manifest = "[bundle]\nname = \"test/best\"\nversion = \"1.0.0\"\n[[plugin]]\nname = \"classify\"\n\
        component = \"classify.wasm\"\nimports = [\"assets\"]\n[pipeline]\nstages = [\"classify\"]\n";
    let host = Start::default().bundle(manifest, &[component("classify")]).start()?;
    let ask = |address: &str, body: Value| host.post(address, "application/json", body.to_string().as_bytes());
    let rows = |parameters: Value| json!({ "instances": [[0.1, 0.7, 0.2]], "parameters": parameters });
    let indices = |reply: Reply| reply.json()["predictions"][0]["index"].as_array().map(Vec::len);
    assert_eq!(indices(ask("/v1/models/best:predict", rows(Value::Null))?), Some(1));
    assert_eq!(indices(ask("/v1/models/best:predict", rows(json!({ "top_k": 3 })))?), Some(3));
    assert_eq!(indices(ask("/v1/models/best:predict?top_k=2", rows(json!({ "top_k": null })))?), Some(2));
    let fields = json!({ "logits": [[0.1, 0.7, 0.2]] });
    assert_eq!(ask("/v2/models/best/generate?top_k=2", fields)?.json()["index"], json!([[1, 2]]));
    let input = json!({ "name": "logits", "datatype": "FP32", "shape": [1, 3], "data": [0.1, 0.7, 0.2] });
    let reply = ask("/v2/models/best/infer?top_k=2", json!({ "inputs": [input] }))?;
    assert_eq!(reply.output("index"), [1, 2]);
    Ok(())
}

/// An object is an element of BYTES, its JSON as it was sent, where the value has the name of its input.
#[test]
fn objects_are_elements_of_named_values() -> Result<()> {
    let _host = HOST.get();
    let ask = |body: &str| HOST.get().post("/v1/models/objects:predict", "application/json", body.as_bytes());
    for (body, wanted) in [
        (
            r#"{"instances": [{"x": {"a": [1, "é"]}}, {"x": "text"}]}"#,
            r#"{"predictions": ["{\"a\": [1, \"é\"]}", "text"]}"#,
        ),
        (r#"{"inputs": {"x": [{"a": 1}, {"b64": "YQ=="}]}}"#, r#"{"outputs": ["{\"a\": 1}", "a"]}"#),
    ] {
        assert_eq!(ask(body)?.body, wanted, "{body}");
    }
    for (body, wanted) in [
        (
            r#"{"instances": [{"a": 1}]}"#,
            "does not have named input: a; send an object that is the value of the input as {\"x\"",
        ),
        (r#"{"inputs": {"a": 1}}"#, "does not have named input: a; send an object"),
        (r#"{"instances": [{"x": {"b64": "YQ==", "a": 1}}]}"#, "stands for bytes: it has no other field"),
        (r#"{"instances": [{"x": {"b64": 7}}]}"#, "stands for bytes"),
        (r#"{"instances": [{"x": {"b64": null}}]}"#, "stands for bytes"),
        (r#"{"instances": [{"x": {"b64": "YQ==", "b64": "Yg=="}}]}"#, "stands for bytes"),
        (r#"{"instances": ["text", {"a": 1}]}"#, "element 1 is an object"),
        (r#"{"instances": [{"x": {"a" 1}}]}"#, "not valid JSON"),
    ] {
        ask(body)?.refused(400, "malformed_request", &[wanted])?;
    }
    Ok(())
}

#[test]
fn versions_and_signatures_are_chosen() -> Result<()> {
    let _host = HOST.get();
    let body = json!({ "signature_name": "serving_default", "instances": [[1.0]] });
    for address in ["versioned", "versioned/versions/1", "versioned/versions/1.9.0", "versioned/versions/2"] {
        assert_eq!(post(&format!("{address}:predict"), &body)?.status, 200, "{address}");
    }
    assert_eq!(post("versioned/versions/0:predict", &body)?.status, 200, "0 is the newest");
    assert_eq!(post("versioned%3Apredict", &body)?.status, 200, "an encoded colon");
    for (address, status) in [("versioned/versions/7", 404), ("versioned/labels/nightly", 404), ("none", 404)] {
        let reply = post(&format!("{address}:predict"), &body)?;
        assert_eq!(reply.status, status, "{address}: {reply:?}");
        assert!(reply.json()["error"].is_string());
    }
    let other = post("versioned:predict", &json!({ "signature_name": "other", "instances": [[1.0]] }))?;
    assert_eq!(
        (other.status, other.json()["error"].as_str()),
        (400, Some("Serving signature name: \"other\" not found in signature def"))
    );
    Ok(())
}

#[test]
fn status_and_metadata_are_what_tensorflow_serving_says() -> Result<()> {
    let host = HOST.get();
    let available = |version: &str| json!({ "version": version, "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } });
    let all = host.get("/v1/models/versioned")?.json();
    assert_eq!(
        all,
        json!({ "model_version_status": [available("2"), available("1")], "name": "versioned", "ready": true })
    );
    assert_eq!(host.get("/v1/models/versioned/versions/0")?.json(), all);
    let names = host.get("/v1/models")?.json()["models"].clone();
    assert!(
        names.as_array().is_some_and(|names| names.contains(&json!("versioned")) && !names.contains(&json!("broken"))),
        "{names}"
    );
    let one = host.get("/v1/models/versioned/versions/1")?.json();
    assert_eq!(one, json!({ "model_version_status": [available("1")], "name": "versioned", "ready": true }));
    let broken = host.get("/v1/models/broken")?.json();
    assert_eq!((&broken["model_version_status"][0]["state"], &broken["ready"]), (&json!("END"), &json!(false)));
    assert!(broken["model_version_status"][0]["status"]["error_message"].to_string().contains("identity.wasm"));
    assert_eq!(host.get("/v1/models/none")?.status, 404);
    let metadata = host.get("/v1/models/versioned/versions/1/metadata")?.json();
    assert_eq!(metadata["model_spec"], json!({ "name": "versioned", "signature_name": "", "version": "1" }));
    let signature = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(signature["method_name"], "tensorflow/serving/predict");
    let varies = json!({ "size": "-1", "name": "" });
    assert_eq!(
        signature["inputs"]["input"],
        json!({ "dtype": "DT_FLOAT", "name": "input:0", "tensor_shape": { "dim": [varies, varies], "unknown_rank": false } })
    );
    Ok(())
}

#[test]
fn examples_are_classified_and_regressed_by_models_that_fit() -> Result<()> {
    let _host = HOST.get();
    let scores =
        post("identity-fp32:classify", &json!({ "examples": [{ "input": [0.25, 0.75] }, { "input": [1.0, 0.0] }] }))?;
    assert_eq!(scores.json(), json!({ "results": [[["", 0.25], ["", 0.75]], [["", 1.0], ["", 0.0]]] }), "{scores:?}");
    let labelled = post("labelled:classify", &json!({ "examples": [{ "input": [0.5, 0.25, 0.0, 1.0] }] }))?;
    let wanted = json!({ "results": [[["0", 0.5], ["1", 0.25], ["2", 0.0], ["3", 1.0]]] });
    assert_eq!(labelled.json(), wanted, "{labelled:?}");
    let body =
        json!({ "signature_name": "tensorflow/serving/regress", "examples": [{ "input": 1.0 }, { "input": [2.0] }] });
    assert_eq!(post("values:regress", &body)?.json(), json!({ "results": [1.0, 2.0] }));
    let context = json!({ "context": { "input": [3.0] }, "examples": [{}, {}] });
    assert_eq!(post("identity-fp32:regress", &context)?.json(), json!({ "results": [3.0, 3.0] }));
    let unfit = post("identity-int8:regress", &json!({ "examples": [{ "input": 1 }] }))?;
    assert_eq!(unfit.status, 400, "{unfit:?}");
    assert!(unfit.body.contains("does not fit :regress"), "{unfit:?}");
    Ok(())
}

#[test]
fn errors_say_what_is_wrong_with_a_request() -> Result<()> {
    let _host = HOST.get();
    for (body, wanted) in [
        (json!({}), "Missing 'inputs' or 'instances' key"),
        (json!({ "inputs": [[1.0]], "instances": [[1.0]] }), "only one of 'inputs' or 'instances'"),
        (json!({ "instances": [] }), "'instances' is not a list, or is an empty one"),
        (json!({ "instances": 1 }), "'instances' is not a list"),
        (json!({ "instances": [[1.0], [1.0, 2.0]] }), "a list at level 1 of the lists has 2 elements"),
        (json!({ "instances": [[1.0], ["a"]] }), "element 1 is a text, and must be a number"),
        (json!({ "instances": [[{ "b64": "YQ==" }]] }), "element 0 is an object, and must be a number"),
        (json!({ "instances": [{ "other": [1.0] }] }), "does not have named input: other"),
        (json!({ "instances": [{}] }), "item 0: keys must be equal to: input"),
        (json!({ "instances": [{ "input": [1.0] }, { "input": [1.0, 2.0] }] }), "Expecting shape [1] but got: [2]"),
        (json!({ "instances": [1.0] }), "has shape [1], and [-1, -1] is wanted"),
        (json!({ "inputs": { "input": [[1.0]], "other": 1 } }), "does not have named input: other"),
        (json!({ "signature_name": 7, "inputs": [[1.0]] }), "JSON Parse error"),
    ] {
        let reply = post("identity-fp32:predict", &body)?;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        let error = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(wanted), "{wanted} is not in: {error}");
    }
    let examples = post("identity-fp32:classify", &json!({ "instances": [[1.0]] }))?;
    assert!(examples.body.contains("key 'examples' is expected"), "{examples:?}");
    let once = vec![0.5; 50_000];
    let context = json!({ "context": { "input": once }, "examples": vec![json!({}); 1000] });
    let much = post("identity-fp32:regress", &context)?;
    assert!(much.status == 400 && much.body.contains("the rows together have more than"), "{}", much.status);
    Ok(())
}

#[test]
fn addresses_and_methods_that_are_not_there() -> Result<()> {
    let host = HOST.get();
    let get = host.get("/v1/models/versioned:predict")?;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert_eq!(host.post("/v1/models/versioned", "", b"{}")?.status, 405);
    for (address, status, says) in [
        (
            "versioned:explain",
            400,
            "Malformed request: GET /v1/models/versioned:explain; the operations on a model are",
        ),
        (":predict", 400, "Malformed request"),
        ("versioned/other", 404, "versioned/other"),
    ] {
        let reply = host.get(&format!("/v1/models/{address}"))?;
        assert!(reply.status == status && reply.body.contains(says), "{address}: {reply:?}");
    }
    assert_eq!(host.get("/v1/other")?.status, 404);
    Ok(())
}
