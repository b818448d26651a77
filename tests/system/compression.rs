//! gzip and deflate, in requests and replies.

use std::io::{Read, Write};

use anyhow::Result;
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use system_tests::{Shared, Start, component, identity};

static HOST: Shared = Shared::new(|| {
    let config = "[http]\nrequest-bytes = '1 MiB'\n";
    Start::default().config(config).bundle(&identity("texts", "BYTES", &[-1]), &[component("identity")]).start()
});

const PATH: &str = "/v2/models/texts/infer";

fn pack(encoding: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    if encoding == "gzip" {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes)?;
        return Ok(encoder.finish()?);
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn unpack(encoding: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    match encoding {
        "gzip" => GzDecoder::new(bytes).read_to_end(&mut whole)?,
        _ => ZlibDecoder::new(bytes).read_to_end(&mut whole)?,
    };
    Ok(whole)
}

fn request(text: &str) -> Vec<u8> {
    let input = json!({ "name": "input", "datatype": "BYTES", "shape": [1], "data": [text] });
    json!({ "inputs": [input] }).to_string().into_bytes()
}

#[test]
fn bodies_are_compressed_in_both_directions() -> Result<()> {
    let host = HOST.get();
    let text = "again and again ".repeat(500);
    for encoding in ["gzip", "deflate"] {
        let body = pack(encoding, &request(&text))?;
        let reply = host.send(PATH, &[("content-encoding", encoding), ("accept-encoding", encoding)], &body)?;
        assert_eq!((reply.status, reply.header("content-encoding")), (200, Some(encoding)), "{reply:?}");
        assert!(reply.bytes.len() < 1000);
        let json: Value = serde_json::from_slice(&unpack(encoding, &reply.bytes)?)?;
        assert_eq!(json["outputs"][0]["data"][0], text);
    }
    Ok(())
}

/// The length header states the length of the JSON before compression.
#[test]
fn binary_tensors_are_compressed_with_their_json() -> Result<()> {
    let host = HOST.get();
    let text = b"\xd0\x07\0\0".iter().copied().chain([0xff; 2000]).collect::<Vec<u8>>();
    let parameters = json!({ "binary_data_size": text.len() });
    let input = json!({ "name": "input", "datatype": "BYTES", "shape": [1], "parameters": parameters });
    let json = json!({ "inputs": [input], "parameters": { "binary_data_output": true } }).to_string();
    let body = pack("gzip", &[json.as_bytes(), &text].concat())?;
    let length = json.len().to_string();
    let headers = [
        ("content-encoding", "gzip"),
        ("accept-encoding", "gzip, deflate"),
        ("inference-header-content-length", length.as_str()),
    ];
    let reply = host.send(PATH, &headers, &body)?;
    assert_eq!((reply.status, reply.header("content-encoding")), (200, Some("gzip")), "{reply:?}");
    let whole = unpack("gzip", &reply.bytes)?;
    let length: usize = reply.header("inference-header-content-length").unwrap_or_default().parse()?;
    assert_eq!(whole[length..], text);
    Ok(())
}

#[test]
fn small_replies_and_errors_are_not_compressed() -> Result<()> {
    let host = HOST.get();
    let reply = host.send(PATH, &[("accept-encoding", "gzip")], &request("short"))?;
    assert_eq!((reply.status, reply.header("content-encoding")), (200, None));
    let reply = host.send(PATH, &[("accept-encoding", "gzip")], b"{")?;
    assert_eq!((reply.status, reply.header("content-encoding")), (400, None));
    Ok(())
}

/// A small body that decompresses to more than `http.request-bytes` is refused.
#[test]
fn decompressed_bodies_are_bounded() -> Result<()> {
    let host = HOST.get();
    for encoding in ["gzip", "deflate"] {
        let bomb = pack(encoding, &vec![b' '; 200 << 20])?;
        assert!(bomb.len() < 1 << 20);
        let reply = host.send(PATH, &[("content-encoding", encoding)], &bomb)?;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (413, Some("request_too_large")), "{reply:?}");
        assert!(reply.body.contains("1.0 MiB (request-bytes of the tenant)"), "{reply:?}");
    }
    assert!(host.metrics()?.contains("bulkhead_buffered_bytes 0"));
    Ok(())
}
