//! Memory of loaded models is counted within a limit of the tenant and one of the host before it is allocated. Other parts
//! that a bundle could make large (stages, labels, classes in replies) are bounded too.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Reply, Start, repository, wait_until};

/// Bytes of the constant in `large-constant.onnx`, a file of 151 bytes.
const TABLE: u64 = 256 << 20;

/// A bundle with a graph that keeps `TABLE` bytes in memory.
fn large(name: &str, version: &str) -> Result<Draft> {
    let manifest = format!(
        "[bundle]\nname = \"acme/{name}\"\nversion = \"{version}\"\n[[graph]]\nname = \"g\"\nfile = \"g.onnx\"\n[pipeline]\nstages = [\"g\"]\n"
    );
    Ok(Draft::new(&manifest).file("g.onnx", std::fs::read(repository().join("tests/graphs/large-constant.onnx"))?))
}

/// Bytes that a tenant's loaded versions hold.
fn resident(host: &Host, tenant: &str) -> Result<u64> {
    let view = host.admin("GET", &format!("/v1/tenants/{tenant}"), &Value::Null)?.ok()?.json();
    view["resident_bytes"].as_u64().context("no resident_bytes")
}

/// Checks that the reply is a refusal by this memory limit, and returns the amount used.
#[track_caller]
fn refused(reply: Reply, limit: &str, value: u64) -> Result<u64> {
    let reply = reply.refused(507, "limit_resident_bytes", &[&format!("({limit})"), "256.0 MiB or more"])?;
    let told = reply.json()["limit"].clone();
    assert_eq!((&told["name"], &told["value"]), (&limit.into(), &value.into()), "{reply:?}");
    told["used"].as_u64().context("nothing used")
}

#[test]
fn a_version_that_does_not_fit_into_memory_is_refused_before_it_is_loaded() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("t", &json!({ "resident-bytes": "64 MiB" }))?;
    let before = host.peak_memory()?;
    for name in ["a", "b", "c"] {
        assert_eq!(refused(acme.push_to(&host, "t", &large(name, "1.0.0")?)?, "resident-bytes", 64 << 20)?, 0);
    }
    let grown = host.peak_memory()? - before;
    println!("three refused uploads of {TABLE} bytes took {grown} bytes");
    assert!(grown < TABLE / 4, "{grown} bytes for a graph that was refused");
    assert_eq!((resident(&host, "t")?, resident(&host, "default")?), (0, 0));

    host.limit("t", &json!({ "resident-bytes": "400 MiB" }))?;
    acme.push_to(&host, "t", &large("a", "1.0.0")?)?.ok()?;
    let held = resident(&host, "t")?;
    assert!((TABLE..TABLE + (8 << 20)).contains(&held), "{held}");
    // Each version of a model has a graph of its own.
    assert_eq!(refused(acme.push_to(&host, "t", &large("a", "1.1.0")?)?, "resident-bytes", 400 << 20)?, held);
    assert_eq!(resident(&host, "t")?, held, "what was refused is not counted");
    let lower = |bytes: &str| host.admin("PATCH", "/v1/tenants/t/limits", &json!({ "resident-bytes": bytes }));
    lower("100 MiB")?.refused(409, "conflict", &["(resident-bytes) would be 100.0 MiB", "restart"])?;
    lower("300 MiB")?.ok()?;
    lower("400 MiB")?.ok()?;
    let path = format!("/v1/bundles/{}?tenant=t", large("a", "1.0.0")?.digest());
    host.admin("DELETE", &path, &Value::Null)?.ok()?;
    wait_until(|| Ok(resident(&host, "t")? == 0))?;
    acme.push_to(&host, "t", &large("b", "1.0.0")?)?.ok().map(drop)
}

#[test]
fn of_two_uploads_at_once_that_do_not_both_fit_one_is_refused() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("t", &json!({ "resident-bytes": "400 MiB" }))?;
    let archives = [acme.sign(&large("a", "1.0.0")?), acme.sign(&large("b", "1.0.0")?)];
    let upload = |archive: &Vec<u8>| host.upload(&host.token, "t", archive);
    let replies = std::thread::scope(|scope| {
        let threads = archives.each_ref().map(|archive| scope.spawn(|| upload(archive)));
        threads.map(|thread| thread.join().unwrap())
    });
    let mut statuses = replies.into_iter().map(|reply| Ok(reply?.status)).collect::<Result<Vec<_>>>()?;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 507]);
    Ok(())
}

#[test]
fn all_tenants_share_the_memory_of_the_host() -> Result<()> {
    let host = Start::default().config("[bundles]\nresident-bytes = '400 MiB'\n").start()?;
    let acme = Publisher::trusted("acme", &host)?;
    host.tenant("first", &json!({}))?;
    host.tenant("second", &json!({}))?;
    acme.push_to(&host, "first", &large("a", "1.0.0")?)?.ok()?;
    let used = refused(acme.push_to(&host, "second", &large("a", "1.0.0")?)?, "bundles.resident-bytes", 400 << 20)?;
    assert_eq!(used, resident(&host, "first")?);
    Ok(())
}

#[test]
fn a_version_that_no_longer_fits_after_a_restart_says_why() -> Result<()> {
    let mut host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &large("a", "1.0.0")?)?.ok()?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    host.kill()?;
    let host = Start::default().config("[tenant]\nresident-bytes = '64 MiB'\n").data_of(&host).start()?;
    wait_until(|| Ok(host.get("/v2/models/a")?.body.contains("(resident-bytes) is 64.0 MiB")))?;
    host.get("/v2/models/a")?.refused(503, "model_unavailable", &["256.0 MiB or more"])?;
    wait_until(|| Ok(host.version("", "echo").is_ok()))?;
    assert!(host.memory()? < TABLE, "{}", host.memory()?);
    Ok(())
}

/// A bundle whose pipeline contains one plugin this many times.
fn repeated(version: &str, stages: usize) -> Draft {
    let more = vec![", { stage = \"stage\", inputs = { input = \"output\" } }"; stages - 1].concat();
    Draft::identity("acme/echo", version).replace("[\"stage\"]", &format!("[\"stage\"{more}]"))
}

#[test]
fn stages_of_one_plugin_share_it() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &repeated("1.0.0", 1))?.ok()?;
    let once = resident(&host, "default")?;
    assert!(once > 100 << 10, "{once}");
    acme.push(&host, &repeated("2.0.0", 64))?.ok()?;
    assert_eq!(resident(&host, "default")?, 2 * once);
    assert_eq!(host.version("", "echo")?, "2.0.0");
    let reply = acme.push(&host, &repeated("3.0.0", 65))?;
    reply.refused(400, "malformed_bundle", &["it has 65 stages; at most 64 are allowed"]).map(drop)
}

#[test]
fn stages_of_one_other_bundle_share_it() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &Draft::identity("acme/lent", "1.0.0"))?.ok()?;
    let once = resident(&host, "default")?;
    let foreign = |name: &str, stages: &str| {
        let stages = stages.replace('#', "acme/lent:stage@");
        let manifest =
            format!("[bundle]\nname = \"acme/{name}\"\nversion = \"1.0.0\"\n[pipeline]\nstages = [{stages}]\n");
        acme.push(&host, &Draft::new(&manifest))
    };
    foreign("twice", "\"#^1\", { stage = \"#=1.0.0\", inputs = { input = \"output\" } }")?.ok()?;
    assert_eq!(resident(&host, "default")?, 2 * once, "two ways to name one version");
    Ok(())
}

/// A model over rows of one score, with these labels.
fn labelled(label: &str) -> Draft {
    let draft = Draft::stage("acme/labelled", "1.0.0", "identity", "datatype = \"FP32\", shape = [-1, 1]");
    draft.more("labels = { output = \"labels.txt\" }").file("labels.txt", label.to_owned())
}

#[test]
fn labels_are_bounded() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let reply = acme.push(&host, &labelled(&"x".repeat(5 << 20)))?;
    let told = "line 1 of labels.txt has 5242880 bytes; at most 1024 are allowed";
    reply.refused(422, "activation_failed", &[told])?;
    let reply = acme.push(&host, &labelled(&"x\n".repeat(1_000_001)))?;
    reply.refused(422, "activation_failed", &["labels.txt has 1000001 lines; at most 1000000 are allowed"])?;
    acme.push(&host, &labelled(&"x\n".repeat(1_000_000)))?.ok()?;
    assert!(resident(&host, "default")? > 20 << 20, "labels count, too");
    Ok(())
}

#[test]
fn classes_end_where_the_reply_would_be_too_large() -> Result<()> {
    const ROWS: usize = 400_000;
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &labelled(&"x".repeat(1024)))?.ok()?;
    host.limit("default", &json!({ "reply-bytes": "1 MiB" }))?;
    let ask = |rows: usize| {
        let input = json!({ "name": "input", "datatype": "FP32", "shape": [rows, 1], "data": vec![1; rows] });
        let outputs = json!([{ "name": "output", "parameters": { "classification": 1 } }]);
        host.infer("labelled", &json!({ "inputs": [input], "outputs": outputs }))
    };
    let reply = ask(1)?.ok()?;
    assert_eq!(reply.output("output"), [format!("1.000000:0:{}", "x".repeat(1024))]);
    let before = host.peak_memory()?;
    let reply = ask(ROWS)?.refused(413, "reply_too_large", &["1.0 MiB", "reply-bytes"])?;
    assert_eq!(reply.json()["limit"]["name"], "reply-bytes");
    let grown = host.peak_memory()? - before;
    println!("{ROWS} rows with a label of 1 KiB took {grown} bytes");
    assert!(grown < 150 << 20, "{grown} bytes for classes that would be {}", ROWS << 10);
    Ok(())
}
