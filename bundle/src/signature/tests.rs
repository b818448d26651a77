//! A bundle that the OpenSSF's tool signed, and the ways in which a bundle can differ from it.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::envelope::signed_bytes;
use super::*;
use crate::{Bounds, Curve, Files, PublicKey, SIGNATURE, SigningKey};

type Change = fn(&mut Value);

fn data(path: &str) -> std::path::PathBuf {
    Path::new("tests/data/sample").join(path)
}

/// A bundle that the tool signed. Its private key is not in the repository.
fn sample() -> Files {
    let files = Files::read_folder(&data("bundle"), &Bounds::default()).unwrap();
    files.with_signature(std::fs::read(data("bundle.sig")).unwrap())
}

fn acme() -> PublicKey {
    PublicKey::from_pem(&std::fs::read_to_string(data("acme.pub")).unwrap()).unwrap()
}

fn verify_with(files: Files, key: &PublicKey) -> Result<Verified, Refused> {
    verify(files, &Bounds::default(), |_| Some(key.clone()))
}

fn changed(files: &Files, change: impl FnOnce(&mut std::collections::BTreeMap<String, Bytes>)) -> Files {
    let mut parts = files.0.clone();
    change(&mut parts);
    Files::from_parts(parts, &Bounds::default()).unwrap()
}

fn signed(curve: Curve) -> (Files, SigningKey) {
    let key = SigningKey::generate(curve).unwrap();
    let signature = sign(&sample(), "acme/sample", &key).unwrap();
    (sample().with_signature(signature), key)
}

/// Verifies a bundle whose statement was changed and signed again, and whose envelope was changed afterwards.
fn forged(statement: impl FnOnce(&mut Value), envelope: impl FnOnce(&mut Value)) -> Result<Verified, Refused> {
    let (files, key) = signed(Curve::P256);
    let mut outer: Value = serde_json::from_slice(files.get(SIGNATURE).unwrap()).unwrap();
    let payload = outer["dsseEnvelope"]["payload"].as_str().unwrap().to_owned();
    let mut inner: Value = serde_json::from_slice(&STANDARD.decode(payload).unwrap()).unwrap();
    statement(&mut inner);
    sign_payload(&mut outer, inner.to_string().as_bytes(), &key);
    envelope(&mut outer);
    verify_with(files.with_signature(outer.to_string()), key.public_key())
}

fn sign_payload(envelope: &mut Value, payload: &[u8], key: &SigningKey) {
    envelope["dsseEnvelope"]["payload"] = STANDARD.encode(payload).into();
    let signature = key.sign(&signed_bytes(payload)).unwrap();
    envelope["dsseEnvelope"]["signatures"][0]["sig"] = STANDARD.encode(signature).into();
}

#[track_caller]
fn says(result: Result<Verified, Refused>, wanted: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(wanted), "wanted: {wanted}\n   said: {error}");
}

#[test]
fn signatures_of_the_tool_are_accepted() {
    let verified = verify_with(sample(), &acme()).unwrap();
    assert_eq!(verified.key(), acme().hint());
    assert_eq!(verified.digest(), sample().digest());
    assert_eq!(verified.into_files(), sample());
    assert_eq!(claimed_key(&sample(), &Bounds::default()), Ok(acme().hint()));
}

#[test]
fn signatures_of_this_crate_are_accepted() {
    for curve in [Curve::P256, Curve::P384] {
        let (files, key) = signed(curve);
        assert_eq!(verify_with(files.clone(), key.public_key()).unwrap().key(), key.public_key().hint());
        assert_eq!(files.get(SIGNATURE).unwrap(), &sign(&files, "acme/sample", &key).unwrap(), "not reproducible");
    }
}

#[test]
fn a_signature_that_does_not_list_itself_as_ignored_is_accepted() {
    let ignore = |paths: Value| move |it: &mut Value| it["predicate"]["serialization"]["ignore_paths"] = paths;
    forged(ignore(json!([".git", "bundle.sig"])), |_| {}).unwrap();
    forged(ignore(json!([".git"])), |_| {}).unwrap();
    forged(ignore(json!([])), |_| {}).unwrap();
}

#[test]
fn files_that_are_not_those_that_were_signed() {
    let labels = "assets/labels.txt";
    let moved = |to: &'static str, content: Option<&'static str>| {
        changed(&sample(), |files| {
            let before = files.remove(labels).unwrap();
            files.insert(to.into(), content.map_or(before, Bytes::from));
        })
    };
    let without = |path: &str| changed(&sample(), |files| drop(files.remove(path)));
    let with = |path: &str| changed(&sample(), |files| drop(files.insert(path.into(), "x".into())));
    for (files, wanted) in [
        (with(labels), "changed after the bundle was signed: \"assets/labels.txt\""),
        (without("empty.wasm"), "signed, but missing from the bundle: \"empty.wasm\""),
        (with("extra"), "in the bundle, but not signed: \"extra\""),
        (with("assets/bundle.sig"), "in the bundle, but not signed: \"assets/bundle.sig\""),
        (moved("labels.txt", None), "\"assets/labels.txt\" was renamed to \"labels.txt\" after"),
        (moved("labels.txt", Some("x")), "signed, but missing from the bundle: \"assets/labels.txt\""),
        (without(SIGNATURE), "the bundle is not signed"),
    ] {
        says(verify_with(files, &acme()), wanted);
    }
    let many = changed(&sample(), |files| files.extend((0..9).map(|n| (format!("x{n}"), Bytes::new()))));
    says(verify_with(many, &acme()), "not signed: \"x0\", \"x1\", \"x2\" and 6 more");
}

#[test]
fn every_changed_byte_of_every_file_is_noticed() {
    for (path, content) in sample().iter() {
        for place in 0..content.len() {
            let mut content = content.to_vec();
            content[place] ^= 1;
            let files = changed(&sample(), |files| drop(files.insert(path.into(), content.into())));
            assert!(verify_with(files, &acme()).is_err(), "{path}: byte {place}");
        }
    }
}

#[test]
fn an_incomplete_signature_is_refused() {
    let content = sample().get(SIGNATURE).unwrap().clone();
    for length in 0..content.len() {
        says(
            verify_with(sample().with_signature(content.slice(..length)), &acme()),
            "not in the OpenSSF Model Signing format",
        );
    }
}

#[test]
fn signatures_of_other_keys_are_refused() {
    let (files, _) = signed(Curve::P256);
    let stranger = format!(
        "the bundle is signed with the key {}, which is not trusted here",
        claimed_key(&files, &Bounds::default()).unwrap()
    );
    says(verify(files.clone(), &Bounds::default(), |_| None), &stranger);
    says(verify_with(files, &acme()), &stranger);
    for curve in [Curve::P256, Curve::P384] {
        let (files, _) = signed(curve);
        let mut envelope: Value = serde_json::from_slice(files.get(SIGNATURE).unwrap()).unwrap();
        envelope["verificationMaterial"]["publicKey"]["hint"] = acme().hint().to_string().into();
        let wanted = format!("the signature is wrong: the trusted key {}", acme().hint());
        says(verify_with(files.with_signature(envelope.to_string()), &acme()), &wanted);
    }
}

#[test]
fn payloads_that_were_not_signed() {
    let wrong = "the signature is wrong";
    let mut original: Value = serde_json::from_slice(sample().get(SIGNATURE).unwrap()).unwrap();
    let payload = STANDARD.decode(original["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let reformatted = serde_json::from_slice::<Value>(&payload).unwrap().to_string();
    original["dsseEnvelope"]["payload"] = STANDARD.encode(reformatted).into();
    says(verify_with(sample().with_signature(original.to_string()), &acme()), wrong);

    let other = changed(&sample(), |files| drop(files.remove("empty.wasm")));
    let (_, key) = signed(Curve::P256);
    let one: Value = serde_json::from_slice(&sign(&sample(), "x", &key).unwrap()).unwrap();
    let mut two: Value = serde_json::from_slice(&sign(&other, "x", &key).unwrap()).unwrap();
    two["dsseEnvelope"]["payload"] = one["dsseEnvelope"]["payload"].clone();
    says(verify_with(sample().with_signature(two.to_string()), key.public_key()), wrong);
}

#[test]
fn envelopes_that_say_something_else() {
    let long = "x".repeat(100_000);
    let deep = "[".repeat(100_000);
    let changes: [(Change, &str); 19] = [
        (|it| it["dsseEnvelope"]["signatures"] = json!([]), "0 signatures; exactly one"),
        (
            |it| {
                let good = it["dsseEnvelope"]["signatures"][0].clone();
                it["dsseEnvelope"]["signatures"] = json!([good, { "sig": "MAA=", "keyid": "" }]);
            },
            "2 signatures; exactly one",
        ),
        (|it| it["dsseEnvelope"]["signatures"][0]["sig"] = "MAA=".into(), "the signature is wrong"),
        (|it| it["dsseEnvelope"]["signatures"][0]["sig"] = "".into(), "the signature is wrong"),
        (|it| it["dsseEnvelope"]["signatures"][0]["sig"] = "%".into(), "the signature in bundle.sig is not base64"),
        (|it| it["dsseEnvelope"]["payload"] = "%".into(), "the payload in bundle.sig is not base64"),
        (|it| it["dsseEnvelope"]["payload"] = "".into(), "the signature is wrong"),
        (|it| it["dsseEnvelope"]["payloadType"] = "text/plain".into(), "a payload of the type \"text/plain\""),
        (|it| it["mediaType"] = "application/json\u{202e}".into(), "media type \"application/json\\u{202e}\""),
        (|it| it["verificationMaterial"]["tlogEntries"] = json!([{}]), "entries of a transparency log"),
        (|it| it["verificationMaterial"]["certificate"] = json!({}), "comes with a certificate"),
        (|it| it["verificationMaterial"]["x509CertificateChain"] = json!({}), "comes with a certificate"),
        (|it| it["verificationMaterial"]["timestampVerificationData"] = json!({}), "comes with time stamps"),
        (|it| it["verificationMaterial"]["other"] = json!({}), "unknown field `other`"),
        (|it| it["verificationMaterial"]["publicKey"] = json!(null), "does not say which key"),
        (|it| it["verificationMaterial"]["publicKey"] = json!({}), "does not say which key"),
        (|it| it["verificationMaterial"]["publicKey"]["hint"] = "AB".into(), "names its key \"AB\""),
        (|it| it["messageSignature"] = json!({}), "unknown field `messageSignature`"),
        (|it| *it = json!([]), "not in the OpenSSF Model Signing format"),
    ];
    for (change, wanted) in changes {
        says(forged(|_| {}, change), wanted);
    }
    for (content, wanted) in [
        (deep.clone(), "not in the OpenSSF Model Signing format"),
        (format!("{{\"mediaType\":{deep}"), "not in the OpenSSF Model Signing format"),
        (format!("{{\"verificationMaterial\":{{\"certificate\":{deep}"), "not in the OpenSSF Model Signing format"),
        (format!("{{\"{long}\":1}}"), "unknown field"),
        (r#"{"mediaType":"a","mediaType":"b"}"#.into(), "duplicate field"),
        (" ".repeat((8 << 20) + 1), "bundle.sig has 8388609 bytes, and the bound is 8388608"),
    ] {
        let result = verify_with(sample().with_signature(content), &acme());
        assert!(result.as_ref().is_err_and(|error| error.to_string().len() < 1000));
        says(result, wanted);
    }
}

#[test]
fn statements_that_say_something_else() {
    let changes: [(Change, &str); 23] = [
        (|it| it["_type"] = "https://in-toto.io/Statement/v0.1".into(), "type \"https://in-toto.io/Statement/v0.1\""),
        (|it| it["predicateType"] = "https://model_signing/Digests/v0.1".into(), "predicate has the type"),
        (
            |it| {
                it["predicateType"] = "https://slsa.dev/provenance/v1".into();
                it["predicate"] = json!({ "buildDefinition": {} });
            },
            "predicate has the type \"https://slsa.dev/provenance/v1\"",
        ),
        (|it| it["predicate"] = json!({}), "the signed statement cannot be read: missing field"),
        (|it| *it = json!([]), "the signed statement cannot be read"),
        (|it| it["subject"] = json!([]), "0 subjects; exactly one"),
        (|it| it["subject"] = json!([it["subject"][0], it["subject"][0]]), "2 subjects; exactly one"),
        (|it| it["subject"][0]["digest"]["sha256"] = "0".repeat(64).into(), "contradicts itself"),
        (|it| it["subject"][0]["digest"]["sha512"] = "0".repeat(128).into(), "subject is made by \"sha512\""),
        (|it| it["subject"][0]["digest"] = json!({}), "subject does not have the form of a SHA-256"),
        (|it| it["predicate"]["serialization"]["method"] = "shards".into(), "by the method \"shards\""),
        (|it| it["predicate"]["serialization"]["hash_type"] = "blake3".into(), "all files is made by \"blake3\""),
        (|it| resource(it)["algorithm"] = "blake2b".into(), "\"assets/labels.txt\" is made by \"blake2b\""),
        (|it| resource(it)["algorithm"] = "SHA256".into(), "is made by \"SHA256\""),
        (|it| resource(it)["digest"] = "0".repeat(128).into(), "\"assets/labels.txt\" does not have the form"),
        (|it| resource(it)["digest"] = "A".repeat(64).into(), "\"assets/labels.txt\" does not have the form"),
        (|it| rename(it, "../labels.txt"), "lists the path \"../labels.txt\", which cannot be in a bundle: its part"),
        (|it| rename(it, "/etc/passwd"), "it is absolute"),
        (|it| rename(it, "assets/./labels.txt"), "a part \".\""),
        (|it| rename(it, ".git/config"), "version control"),
        (|it| rename(it, "bundle.toml"), "lists \"bundle.toml\" twice"),
        (|it| rename(it, "bundle.sig"), "lists bundle.sig, which cannot contain its own digest"),
        (|it| rename(it, "assets/Labels.txt"), "\"assets/Labels.txt\" was renamed to \"assets/labels.txt\""),
    ];
    for (change, wanted) in changes {
        says(forged(change, |_| {}), wanted);
    }
    for ignored in ["assets", "empty.wasm", "../x", "model.sig", "*"] {
        let change = |it: &mut Value| it["predicate"]["serialization"]["ignore_paths"] = json!([".git", ignored]);
        says(forged(change, |_| {}), &format!("leaves out \"{ignored}\", which would not be protected"));
    }
}

/// A digest of another algorithm that is labelled as SHA-256.
#[test]
fn a_digest_of_the_right_form_by_the_wrong_algorithm() {
    let change = |it: &mut Value| {
        resource(it)["digest"] = "4b".repeat(32).into();
        let resources = it["predicate"]["resources"].as_array().unwrap();
        let digests = resources.iter().map(|it| crate::Digest::from_hex(it["digest"].as_str().unwrap()).unwrap());
        let digests: Vec<_> = digests.map(|digest| *digest.as_bytes()).collect();
        it["subject"][0]["digest"]["sha256"] = crate::Digest::of_all(digests).hex().into();
    };
    says(forged(change, |_| {}), "changed after the bundle was signed: \"assets/labels.txt\"");
}

fn resource(statement: &mut Value) -> &mut Value {
    &mut statement["predicate"]["resources"][0]
}

fn rename(statement: &mut Value, name: &str) {
    resource(statement)["name"] = name.into();
}

/// The largest number of files, all with the longest paths.
#[test]
fn every_bundle_within_the_bounds_can_be_signed_within_them() {
    let bounds = Bounds::default();
    let name = |number: usize| format!("{number:0width$}", width = bounds.path_bytes);
    let parts = (0..bounds.files - 1).map(|number| (name(number), Bytes::new())).collect();
    let files = Files::from_parts(parts, &bounds).unwrap();
    let key = SigningKey::generate(Curve::P256).unwrap();
    let signature = sign(&files, "acme/many", &key).unwrap();
    // The tool writes its payload with indentation, which is about a fifth more.
    assert!((signature.len() as u64) * 5 / 4 < bounds.signature_bytes, "{}", signature.len());
    verify_with(files.with_signature(signature), key.public_key()).unwrap();
}
