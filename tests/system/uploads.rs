//! Uploads: from a trusted publisher's archive to a model that answers, and every way in which an upload is refused.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Start, prepared, wait_until};

#[test]
fn what_a_trusted_publisher_signed_is_served() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let draft = Draft::identity("acme/echo", "1.0.0");
    let uploaded = acme.push(&host, &draft)?.ok()?.json();
    assert_eq!((&uploaded["model"], &uploaded["already"]), (&"echo".into(), &false.into()));
    assert_eq!(uploaded["digest"], draft.digest());
    assert_eq!(host.call("", "echo", "input")?.ok()?.output("output"), [json!(1.0)]);
    assert_eq!(acme.push(&host, &draft)?.ok()?.json()["already"], true);
    let steps = host.upload_steps(&host.token, &acme.sign(&Draft::identity("acme/echo", "1.1.0")))?;
    let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(names, ["verified", "stored", "activated", "warning", "done"]);
    assert_eq!(steps[4]["bundle"]["version"], "1.1.0");
    assert_eq!(host.version("", "echo")?, "1.1.0");
    let steps = host.upload_steps(&host.token, b"no archive")?;
    assert_eq!((&steps[0]["step"], &steps[0]["status"]), (&"failed".into(), &400.into()), "{steps:?}");
    assert_eq!(steps[0]["refusal"]["code"], "malformed_archive");
    assert_eq!(host.files_of("staging")?, [""; 0]);
    Ok(())
}

/// What is accepted and may surprise is said in the answer to the upload, in either form of it, and not only in the log.
#[test]
fn warnings_are_a_part_of_the_answer() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let trial = "[[trial]]\nname = \"one\"\ninputs = { input = { datatype = \"FP32\", data = [1.0] } }\n\
                 outputs = { output = { datatype = \"FP32\", data = [1.0] } }";
    let tried = |version: &str| Draft::identity("acme/echo", version).more(trial);
    let warnings = |draft: &Draft| Ok::<_, anyhow::Error>(acme.push(&host, draft)?.ok()?.json()["warnings"].take());
    assert_eq!(warnings(&tried("1.0.0"))?, json!([]));
    let untried = warnings(&Draft::identity("acme/echo", "1.0.1"))?;
    assert!(untried[0].as_str().is_some_and(|text| text.contains("has no trial requests")), "{untried}");
    host.admin("PUT", "/v1/models/echo/labels/stable", &json!({ "version": "1.0.1" }))?.ok()?;
    let steps = host.upload_steps(&host.token, &acme.sign(&tried("1.2.0")))?;
    let [.., warning, done] = &steps[..] else { panic!("{steps:?}") };
    let stays = "requests without a version stay on 1.0.1, which is labelled stable";
    assert_eq!(warning["step"], "warning", "{steps:?}");
    assert!(warning["detail"].as_str().is_some_and(|text| text.starts_with(stays)), "{warning}");
    assert_eq!(done["bundle"]["warnings"][0], warning["detail"]);
    host.admin("DELETE", "/v1/models/echo/labels/stable", &Value::Null)?.ok()?;
    for (version, wanted) in [("1.3.0-rc.1", "is a pre-release"), ("1.1.0", "they go to 1.2.0")] {
        let warnings = warnings(&tried(version))?;
        assert!(warnings[0].as_str().is_some_and(|text| text.contains(wanted)), "{warnings}");
    }
    host.admin("PUT", "/v1/models/echo/policy", &json!({ "latest": 1 }))?.ok()?;
    let left_out = warnings(&tried("1.0.5"))?;
    assert!(left_out[0].as_str().is_some_and(|text| text.contains("policy leaves it out")), "{left_out}");
    // The same after the result was kept in the cache.
    for version in ["1.0.0", "1.0.1"] {
        let warnings = warnings(&Draft::hostile("acme/hostile", version, "init-prints"))?;
        let texts = warnings.as_array().into_iter().flatten().filter_map(Value::as_str);
        let snapshot: Vec<&str> = texts.filter(|text| text.contains("init runs again in every call")).collect();
        assert!(snapshot.len() == 1 && snapshot[0].contains("its init printed something"), "{warnings}");
    }
    Ok(())
}

/// The archive's name is longer than the 100 bytes that a plain tar header has for it.
#[test]
fn files_and_labels_may_have_names_in_every_script() -> Result<()> {
    let path = format!("\u{6807}\u{7b7e}/{}/\u{52a8}\u{7269} caf\u{e9}.txt", "\u{732b}".repeat(30));
    let mut host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let draft = Draft::stage("acme/labelled", "1.0.0", "identity", "datatype = \"FP32\", shape = [-1, 2]");
    let draft = draft.more(&format!("labels = {{ output = \"{path}\" }}")).file(&path, "\u{732b}\n\u{72d7}\n");
    acme.push(&host, &draft)?.ok()?;
    let ask = |host: &Host| {
        let input = json!({ "name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1, 2] });
        let outputs = json!([{ "name": "output", "parameters": { "classification": 1 } }]);
        let reply = host.infer("labelled", &json!({ "inputs": [input], "outputs": outputs }))?.ok()?;
        assert_eq!(reply.output("output"), ["2.000000:1:\u{72d7}"]);
        Ok::<_, anyhow::Error>(())
    };
    ask(&host)?;
    host.kill()?;
    let again = Start::default().data_of(&host).start()?;
    wait_until(|| Ok(again.get("/v2/health/ready")?.status == 200))?;
    ask(&again)
}

/// A case of a refused upload: its name, the archive, the status, the code, and parts of the text.
type Refused = (&'static str, Vec<u8>, u16, &'static str, &'static [&'static str]);

fn refused_uploads(acme: &Publisher, stranger: &Publisher) -> Vec<Refused> {
    let echo = || Draft::identity("acme/echo", "2.0.0");
    let asks = echo().replace("component =", "imports = [\"random\"]\ncomponent =");
    let trial = |data: &str| {
        let inputs = "inputs = { input = { datatype = \"FP32\", data = [1.0, 2.0] } }";
        let outputs = format!("outputs = {{ output = {{ datatype = \"FP32\", data = {data}, absolute = 0.01 }} }}");
        echo().more(&format!("[[trial]]\nname = \"pair\"\n{inputs}\n{outputs}"))
    };
    let twice = [acme.sign(&echo()), acme.sign(&echo())].concat();
    let tampered = {
        let files = echo().files();
        let signature = bulkhead_bundle::Files::unpack(&acme.sign(&echo())[..], &Default::default()).unwrap();
        let signature = signature.get("bundle.sig").unwrap().clone();
        assert!(files.get("bundle.sig").is_none());
        system_tests::pack(&echo().more("# one line more").files().with_signature(signature))
    };
    vec![
        ("unknown key", stranger.sign(&echo()), 403, "untrusted", &["publisher trust"]),
        ("unsigned", echo().pack(), 403, "untrusted", &["bundle.sig"]),
        ("changed after it was signed", tampered, 403, "untrusted", &["bundle.toml"]),
        (
            "another's name",
            acme.sign(&Draft::identity("evil/echo", "1.0.0")),
            403,
            "not_permitted",
            &["acme/*", "evil/echo"],
        ),
        (
            "an import that was not granted",
            acme.sign(&asks),
            403,
            "not_permitted",
            &["--add-imports random", "logging"],
        ),
        ("no archive", b"no archive".to_vec(), 400, "malformed_archive", &["cannot be read as an archive"]),
        ("nothing", Vec::new(), 400, "malformed_archive", &[]),
        ("something after the end", twice, 400, "malformed_archive", &["end mark"]),
        (
            "no manifest",
            acme.sign(&echo().without("bundle.toml").file("x", "y")),
            400,
            "malformed_bundle",
            &["bundle.toml"],
        ),
        ("no version", acme.sign(&echo().replace("version = \"2.0.0\"", "")), 400, "malformed_bundle", &["version"]),
        (
            "an unknown key",
            acme.sign(&echo().replace("component =", "conponent =")),
            400,
            "malformed_bundle",
            &["conponent"],
        ),
        (
            "a file that is missing",
            acme.sign(&echo().without("stage.wasm").file("x", "y")),
            400,
            "malformed_bundle",
            &["stage.wasm"],
        ),
        (
            "a stage that is missing",
            acme.sign(&echo().replace("[\"stage\"]", "[\"stages\"]")),
            400,
            "malformed_bundle",
            &["stages"],
        ),
        (
            "other contents",
            acme.sign(&Draft::identity("acme/echo", "1.0.0").more("# other")),
            409,
            "version_taken",
            &["1.0.0"],
        ),
        (
            "another's model",
            acme.sign(&Draft::identity("acme/other", "1.0.0").more("model = \"echo\"")),
            409,
            "version_taken",
            &["acme/echo"],
        ),
        (
            "no component",
            acme.sign(&echo().file("stage.wasm", "junk")),
            422,
            "activation_failed",
            &["activate:", "stage"],
        ),
        (
            "init fails",
            acme.sign(&Draft::hostile("acme/echo", "2.0.0", "init-panic")),
            422,
            "activation_failed",
            &["activate:"],
        ),
        (
            "a bundle that is not there",
            acme.sign(&echo().replace("[\"stage\"]", "[\"acme/labels:x@^1\"]")),
            422,
            "activation_failed",
            &["acme/labels", "^1"],
        ),
        (
            "other numbers",
            acme.sign(&trial("[1.0, 2.5]")),
            422,
            "trial_failed",
            &["\"pair\"", "\"output\"", "has 2 at element 1, and 2.5"],
        ),
        ("another shape", acme.sign(&trial("[1.0]")), 422, "trial_failed", &["\"output\"", "shape"]),
    ]
}

#[test]
fn each_refusal_has_its_code_and_what_was_served_is_served() -> Result<()> {
    let host = Start::default().start()?;
    let (acme, stranger) = (Publisher::new("acme"), Publisher::new("stranger"));
    acme.trust(&host, &json!({ "imports": ["logging"] }))?.ok()?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    let blobs = host.files_of("blobs")?.len();
    let mut wrong = Vec::new();
    for (name, archive, status, code, parts) in refused_uploads(&acme, &stranger) {
        let reply = host.upload(&host.token, "default", &archive)?;
        if let Err(error) = reply.refused(status, code, parts) {
            wrong.push(format!("{name}: {error}"));
        }
        assert_eq!(host.version("", "echo")?, "1.0.0", "{name}");
        assert_eq!((host.files_of("staging")?.len(), host.files_of("blobs")?.len()), (0, blobs), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn what_was_revoked_or_deleted_does_not_return_as_something_else() -> Result<()> {
    let mut host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let draft = Draft::identity("acme/echo", "1.0.0");
    acme.push(&host, &draft)?.ok()?;
    host.admin("POST", &format!("/v1/bundles/{}/revoke", draft.digest()), &json!({ "reason": "it steals" }))?.ok()?;
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &["it steals"])?;
    acme.push(&host, &draft)?.refused(403, "revoked", &["it steals", "cannot return"])?;
    let deleted = Draft::identity("acme/other", "1.0.0");
    acme.push(&host, &deleted)?.ok()?;
    host.admin("DELETE", &format!("/v1/bundles/{}", deleted.digest()), &Value::Null)?.ok()?;
    host.call("", "other", "input")?.refused(404, "unknown_model", &[])?;
    acme.push(&host, &deleted.clone().more("# other contents"))?.refused(409, "version_taken", &[])?;
    host.kill()?;
    let host = Start::default().data_of(&host).start()?;
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &["it steals"])?;
    acme.push(&host, &draft)?.refused(403, "revoked", &["it steals"])?;
    acme.push(&host, &deleted)?.ok()?;
    assert_eq!(host.version("", "other")?, "1.0.0");
    Ok(())
}

/// Another bundle takes over the model name of a deleted one, and the deleted bundle's state does not affect it.
#[test]
fn a_deleted_bundle_takes_nothing_from_its_successor() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let first = Draft::identity("acme/zebra", "1.0.0").more("model = \"echo\"");
    acme.push(&host, &first)?.ok()?;
    host.admin("DELETE", &format!("/v1/bundles/{}", first.digest()), &Value::Null)?.ok()?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    for number in 0..3 {
        host.tenant(&format!("other-{number}"), &json!({}))?;
        assert_eq!(host.version("", "echo")?, "1.0.0");
    }
    Ok(())
}

#[test]
fn unsigned_bundles_are_for_dev_and_every_line_says_so() -> Result<()> {
    let host = Start::default().argument("--dev").start()?;
    host.upload(&host.token, "default", &Draft::identity("any/echo", "1.0.0").pack())?.ok()?;
    assert_eq!(host.version("", "echo")?, "1.0.0");
    for line in host.log().lines() {
        assert_eq!(serde_json::from_str::<Value>(line)?["dev"], true, "{line}");
    }
    for address in ["--http", "--grpc", "--admin"] {
        let mut serve = Command::new(prepared("BULKHEAD_BINARY"));
        serve.args(["serve", "--dev", address, "0.0.0.0:0"]).stdin(Stdio::null());
        let output = serve.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{address}: {said}");
        assert!(said.contains("loopback"), "{said}");
    }
    Ok(())
}

/// Bundles that were accepted unsigned under `--dev` are not served without it until a trusted publisher signs them.
#[test]
fn unsigned_bundles_are_not_served_after_dev() -> Result<()> {
    let mut host = Start::default().argument("--dev").start()?;
    let draft = Draft::identity("acme/echo", "1.0.0");
    host.upload(&host.token, "default", &draft.pack())?.ok()?;
    host.kill()?;
    let host = Start::default().data_of(&host).start()?;
    host.call("", "echo", "input")?.refused(503, "model_unavailable", &["uploaded under serve --dev"])?;
    let bundles = host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?.json();
    assert!(bundles[0]["not_served_because"].as_str().is_some_and(|why| why.contains("--dev")), "{bundles}");
    let acme = Publisher::trusted("acme", &host)?;
    assert_eq!(acme.push(&host, &draft)?.ok()?.json()["already"], false);
    assert_eq!(host.version("", "echo")?, "1.0.0");
    Ok(())
}

#[test]
fn trials_are_billed_and_run_once() -> Result<()> {
    let mut host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let trial = "[[trial]]\nname = \"one\"\ninputs = { input = { datatype = \"FP32\", data = [1.0] } }\n";
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0").more(trial))?.ok()?;
    let fuel = |host: &Host| -> Result<u64> {
        let usage = host.admin("GET", "/v1/usage?tenant=default", &Value::Null)?.ok()?.json();
        let lines = usage["usage"].as_array().context("no usage")?.clone();
        Ok(lines.iter().filter(|line| line["model"] == "echo").filter_map(|line| line["fuel"].as_u64()).sum())
    };
    let tried = fuel(&host)?;
    assert!(tried > 0, "the trial is on no bill");
    host.terminate()?;
    host.wait()?;
    let mut host = Start::default().data_of(&host).start()?;
    wait_until(|| Ok(host.get("/v2/models/echo/ready")?.status == 200))?;
    assert_eq!(fuel(&host)?, tried, "the trial ran again");
    // With other limits, it is not known whether it passes.
    host.terminate()?;
    host.wait()?;
    let host = Start::default().config("[call]\nfuel = '9 G'\n").data_of(&host).start()?;
    wait_until(|| Ok(host.get("/v2/models/echo/ready")?.status == 200))?;
    assert!(fuel(&host)? > tried, "the trial did not run");
    Ok(())
}

/// Each trial compares four million numbers, which takes some milliseconds.
#[test]
fn trials_that_take_too_long_together_are_refused() -> Result<()> {
    let host = Start::default().config("[init]\ntime = '200ms'\n").start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let trial = |number: usize| {
        let tensor = "{ datatype = \"FP32\", file = \"zeros\" }";
        let (inputs, outputs) = (format!("input = {tensor}"), format!("output = {tensor}"));
        format!("[[trial]]\nname = \"t{number}\"\ninputs = {{ {inputs} }}\noutputs = {{ {outputs} }}\n")
    };
    let trials: String = (0..64).map(trial).collect();
    let draft = Draft::identity("acme/echo", "1.0.0").more(&trials).file("zeros", vec![0; 16 << 20]);
    acme.push(&host, &draft)?.refused(422, "trial_failed", &["did not begin", "200ms", "init.time"]).map(drop)
}
