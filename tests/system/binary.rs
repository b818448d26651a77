//! The binary tensor extension: tensors as bytes after the JSON, in requests and replies, and bodies that consist of one
//! tensor only.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Host, Reply, Shared, Start, component, identity};

/// Two values of each datatype, in the wire's byte order.
fn values() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("BOOL", vec![1, 0]),
        ("UINT8", vec![0, 255]),
        ("UINT16", vec![1, 2, 255, 255]),
        ("UINT32", vec![1, 2, 3, 4, 255, 255, 255, 255]),
        ("UINT64", vec![9; 16]),
        ("INT8", vec![128, 127]),
        ("INT16", vec![0, 128, 255, 127]),
        ("INT32", vec![7; 8]),
        ("INT64", vec![200; 16]),
        ("FP16", vec![0x00, 0x7c, 0x01, 0x7e]),
        ("BF16", vec![0x80, 0xff, 0xc1, 0x7f]),
        ("FP32", vec![0, 0, 128, 255, 1, 0, 192, 127]),
        ("FP64", vec![0, 0, 0, 0, 0, 0, 240, 255, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("BYTES", [&b"\x04\0\0\0"[..], &[0xff, 0, 0xfe, 0x80], b"\0\0\0\0"].concat()),
    ]
}

static HOST: Shared = Shared::new(|| {
    let files = [component("identity")];
    let mut start = Start::default().bundle(&identity("rows", "FP32", &[-1, 4]), &files);
    for (datatype, _) in values() {
        start = start.bundle(&identity(&datatype.to_lowercase(), datatype, &[-1]), &files);
    }
    start.start()
});

const JSON_LENGTH: &str = "inference-header-content-length";

fn send(host: &Host, model: &str, request: &Value, tensors: &[u8]) -> Result<Reply> {
    let json = request.to_string();
    let body = [json.as_bytes(), tensors].concat();
    host.send(&format!("/v2/models/{model}/infer"), &[(JSON_LENGTH, &json.len().to_string())], &body)
}

/// Splits a reply into its JSON and the bytes after it.
fn split(reply: &Reply) -> Result<(Value, &[u8])> {
    anyhow::ensure!(reply.status == 200, "{reply:?}");
    let length: usize = reply.header(JSON_LENGTH).with_context(|| format!("{reply:?}"))?.parse()?;
    let (json, tensors) = reply.bytes.split_at(length);
    Ok((serde_json::from_slice(json)?, tensors))
}

fn binary_input(datatype: &str, shape: Value, bytes: usize) -> Value {
    json!({ "name": "input", "datatype": datatype, "shape": shape, "parameters": { "binary_data_size": bytes } })
}

#[test]
fn every_datatype_comes_back_bit_for_bit() -> Result<()> {
    let host = HOST.get();
    for (datatype, bytes) in values() {
        let input = binary_input(datatype, json!([2]), bytes.len());
        let request = json!({ "id": "7", "inputs": [input], "parameters": { "binary_data_output": true } });
        let reply = send(&host, &datatype.to_lowercase(), &request, &bytes)?;
        let (json, tensors) = split(&reply)?;
        assert_eq!(tensors, bytes, "{datatype}");
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        assert_eq!(reply.header("content-length"), Some(reply.bytes.len().to_string().as_str()));
        let parameters = json!({ "binary_data_size": bytes.len() });
        let output = json!({ "name": "output", "datatype": datatype, "shape": [2], "parameters": parameters });
        assert_eq!((&json["outputs"], &json["id"]), (&json!([output]), &json!("7")));
    }
    Ok(())
}

#[test]
fn json_in_and_bytes_out_and_the_other_way() -> Result<()> {
    let host = HOST.get();
    let text = json!({ "name": "input", "datatype": "INT32", "shape": [1], "data": [258] });
    let outputs = json!([{ "name": "output", "parameters": { "binary_data": true } }]);
    let reply = host.infer("int32", &json!({ "inputs": [text], "outputs": outputs }))?;
    assert_eq!(split(&reply)?.1, [2, 1, 0, 0]);
    let request = json!({ "inputs": [binary_input("INT32", json!([1]), 4)] });
    assert_eq!(send(&host, "int32", &request, &[2, 1, 0, 0])?.output("output"), [258]);
    let wanted = json!([{ "name": "output", "parameters": { "binary_data": false } }]);
    let request = json!({ "inputs": [binary_input("INT32", json!([1]), 4)], "outputs": wanted,
                          "parameters": { "binary_data_output": true } });
    assert_eq!(send(&host, "int32", &request, &[2, 1, 0, 0])?.output("output"), [258], "the output goes first");
    Ok(())
}

#[test]
fn tensors_of_no_elements_have_no_bytes() -> Result<()> {
    let host = HOST.get();
    for datatype in ["FP32", "BYTES"] {
        let request = json!({ "inputs": [binary_input(datatype, json!([0]), 0)],
                              "parameters": { "binary_data_output": true } });
        let reply = send(&host, &datatype.to_lowercase(), &request, b"")?;
        let (json, tensors) = split(&reply)?;
        assert_eq!((json["outputs"][0]["parameters"]["binary_data_size"].as_u64(), tensors.len()), (Some(0), 0));
    }
    Ok(())
}

#[test]
fn a_body_without_json_is_the_only_tensor() -> Result<()> {
    let host = HOST.get();
    let raw = |model: &str, body: &[u8]| host.send(&format!("/v2/models/{model}/infer"), &[(JSON_LENGTH, "0")], body);
    let reply = raw("int32", &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0])?;
    let (json, tensors) = split(&reply)?;
    assert_eq!((&json["outputs"][0]["shape"], tensors), (&json!([3]), &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0][..]));
    let reply = raw("bytes", &[0xff, 0])?;
    assert_eq!(split(&reply)?.1, [2, 0, 0, 0, 0xff, 0], "one element, with its length");
    assert_eq!(split(&raw("rows", &[0; 32])?)?.0["outputs"][0]["shape"], json!([2, 4]));
    Ok(())
}

/// The limit of a reply also counts the bytes of its binary tensors.
#[test]
fn binary_replies_are_bounded() -> Result<()> {
    let config = "[http]\nreply-bytes = '1 KiB'\n";
    let host = Start::default().config(config).bundle(&identity("uint8", "UINT8", &[-1]), &[component("identity")]);
    let host = host.start()?;
    for (size, status) in [(800, 200), (1000, 413)] {
        let request = json!({ "inputs": [binary_input("UINT8", json!([size]), size)],
                              "parameters": { "binary_data_output": true } });
        assert_eq!(send(&host, "uint8", &request, &vec![7; size])?.status, status, "{size}");
    }
    Ok(())
}

/// Rows of a batch are ranked one by one; without a batch dimension the whole tensor is ranked.
#[test]
fn outputs_are_classified_where_it_is_asked_for() -> Result<()> {
    let host = HOST.get();
    let data = json!([1.5, 4.25, 3.0, -1.0, 0.5, 0.25, 9.0, 9.0]);
    let input = json!({ "name": "input", "datatype": "FP32", "shape": [2, 4], "data": data });
    let best = |count: i64| json!([{ "name": "output", "parameters": { "classification": count } }]);
    let reply = host.infer("rows", &json!({ "inputs": [input], "outputs": best(2) }))?;
    assert_eq!(reply.output("output"), ["4.250000:1", "3.000000:2", "9.000000:2", "9.000000:3"]);
    assert_eq!(reply.json()["outputs"][0]["shape"], json!([2, 2]));
    let input = json!({ "name": "input", "datatype": "INT32", "shape": [3], "data": [5, -7, 6] });
    let reply = host.infer("int32", &json!({ "inputs": [input.clone()], "outputs": best(7) }))?;
    assert_eq!(reply.output("output"), ["6:2", "5:0", "-7:1"]);
    let reply = host.infer("int32", &json!({ "inputs": [input], "outputs": best(0) }))?;
    assert_eq!(reply.output("output"), [5, -7, 6]);
    Ok(())
}

/// A tensor at an unaligned offset of the body reaches a native graph correctly.
#[test]
fn a_graph_takes_bytes_from_wherever_they_lie() -> Result<()> {
    let manifest = "[bundle]\nname = \"test/cnn\"\nversion = \"1.0.0\"\n[[graph]]\nname = \"cnn\"\nfile = \"digits.onnx\"\n[pipeline]\nstages = [\"cnn\"]\n";
    let file = system_tests::repository().join("examples/digits/digits.onnx");
    let host = Start::default().bundle(manifest, &[file]).start()?;
    let bytes: Vec<u8> = (0..64).flat_map(|at| (at as f32 / 64.0).to_le_bytes()).collect();
    let mut answers = Vec::new();
    for id in ["", "x", "xx", "xxx"] {
        let input = json!({ "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8],
                            "parameters": { "binary_data_size": 256 } });
        let reply = send(&host, "cnn", &json!({ "id": id, "inputs": [input] }), &bytes)?;
        answers.push(reply.json()["outputs"].clone());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer[0]["data"][0].is_number()), "{answers:?}");
    Ok(())
}
