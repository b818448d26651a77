//! Disk faults: full, read-only, truncated files, flipped bits. The error is clear, other models stay available, and
//! unsigned bytes are never served.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::{Draft, Host, Publisher, Start, wait_until};

const INSIDE: &str = "BULKHEAD_TEST_SMALL_DISK";
const CANNOT_MOUNT: i32 = 77;
const SCRIPT: &str = "mount -t tmpfs -o size=12m none \"$BULKHEAD_TEST_SMALL_DISK\" || exit 77
    exec \"$0\" --exact \"$1\" --nocapture";

/// Returns the path of a small disk. The first call re-runs the test in a namespace that may mount one, and returns `None`.
fn small_disk(test: &str) -> Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os(INSIDE) {
        return Ok(Some(path.into()));
    }
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT]);
    command.arg(std::env::current_exe()?).arg(test).env(INSIDE, folder.path());
    let output = command.output()?;
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => ensure!(said.contains("1 passed"), "{said}"),
        Some(101) => anyhow::bail!("{said}\n{wrong}"),
        Some(CANNOT_MOUNT) => eprintln!("no file system may be mounted here"),
        _ => eprintln!("no namespace may be made here: {wrong}"),
    }
    Ok(None)
}

fn fill(disk: &Path) -> Result<()> {
    let mut file = fs::File::create(disk.join("filler"))?;
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok() {}
    Ok(())
}

#[test]
fn a_full_disk_refuses_changes_and_serves_on() -> Result<()> {
    let Some(disk) = small_disk("corruption::a_full_disk_refuses_changes_and_serves_on")? else { return Ok(()) };
    let data = disk.join("data");
    let mut host = Start::default().data(&data).start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    let next = Draft::identity("acme/echo", "2.0.0").file("ballast", vec![1; 4 << 20]);
    fill(&disk)?;
    acme.push(&host, &next)?.refused(507, "storage_full", &[])?;
    let mut keys = 0;
    let refused = loop {
        let reply = host.admin("POST", "/v1/tenants/default/keys", &json!({ "role": "infer" }))?;
        match reply.status {
            200 => keys += 1,
            _ => break reply,
        }
        ensure!(keys < 1000, "the disk is never full");
    };
    refused.refused(507, "storage_full", &["full", "Free some space"])?;
    assert_eq!(host.version("", "echo")?, "1.0.0");
    let count = |host: &Host| -> Result<usize> {
        let keys = host.admin("GET", "/v1/tenants/default/keys", &Value::Null)?.ok()?.json();
        Ok(keys.as_array().context("no list")?.len())
    };
    assert_eq!((count(&host)?, host.files_of("staging")?.len(), host.files_of("blobs")?.len()), (keys, 0, 3));
    host.kill()?;
    fs::remove_file(disk.join("filler"))?;
    let host = Start::default().data(&data).start()?;
    assert_eq!(count(&host)?, keys);
    acme.push(&host, &next)?.ok()?;
    assert_eq!(host.version("", "echo")?, "2.0.0");
    Ok(())
}

#[test]
fn a_read_only_data_folder_is_refused() -> Result<()> {
    let Some(disk) = small_disk("corruption::a_read_only_data_folder_is_refused")? else { return Ok(()) };
    let data = disk.join("data");
    let mut host = Start::default().data(&data).start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &Draft::identity("acme/echo", "1.0.0"))?.ok()?;
    host.kill()?;
    let mount = |how: &str| Command::new("mount").args(["-o", how]).arg(&disk).status();
    ensure!(mount("remount,ro")?.success());
    let (code, said) = Start::default().data(&data).fails()?;
    assert!(code == Some(1) && said.contains("Read-only file system") && said.contains("may write to"), "{said}");
    ensure!(mount("remount,rw")?.success());
    let host = Start::default().data(&data).start()?;
    wait_until(|| Ok(host.call("", "echo", "input")?.status == 200))
}

/// A host with `echo` and `other` that was killed, and the path of the blob that holds `echo`'s manifest.
fn two_models() -> Result<(Host, Publisher, Draft, PathBuf)> {
    let mut host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let echo = Draft::identity("acme/echo", "1.0.0");
    for draft in [&echo, &Draft::identity("acme/other", "1.0.0")] {
        acme.push(&host, draft)?.ok()?;
    }
    host.kill()?;
    let blobs = fs::read_dir(host.data().join("blobs"))?.map(|entry| Ok(entry?.path()));
    let manifest = echo.files().get("bundle.toml").context("no manifest")?.clone();
    let blob = blobs.collect::<Result<Vec<_>>>()?.into_iter().find(|blob| fs::read(blob).is_ok_and(|b| b == manifest));
    Ok((host, acme, echo, blob.context("no blob")?))
}

#[test]
fn a_damaged_blob_is_not_served_and_can_be_uploaded_again() -> Result<()> {
    type Damage = fn(&Path) -> Result<()>;
    let damages: [(&str, Damage); 3] = [
        ("flipped", |blob| {
            let mut content = fs::read(blob)?;
            content[10] ^= 1;
            Ok(fs::write(blob, content)?)
        }),
        ("truncated", |blob| Ok(fs::OpenOptions::new().write(true).open(blob)?.set_len(20)?)),
        ("removed", |blob| Ok(fs::remove_file(blob)?)),
    ];
    for (name, damage) in damages {
        let (host, acme, echo, blob) = two_models()?;
        damage(&blob)?;
        let mut host = Start::default().data_of(&host).start()?;
        wait_until(|| Ok(host.call("", "other", "input")?.status == 200))?;
        wait_until(|| Ok(host.call("", "echo", "input")?.json()["code"] == "model_unavailable"))?;
        let reply =
            host.call("", "echo", "input")?.refused(503, "model_unavailable", &["blob", "Upload its bundle again"])?;
        assert!(!reply.body.contains(&*host.data().to_string_lossy()), "{name}: {reply:?}");
        host.wait_for_log(&["not served", "acme/echo", "blob"])?;
        acme.push(&host, &echo)?.ok()?;
        assert_eq!(host.version("", "echo")?, "1.0.0", "{name}");
        host.kill()?;
        let host = Start::default().data_of(&host).start()?;
        wait_until(|| Ok(host.call("", "echo", "input")?.status == 200))?;
    }
    Ok(())
}

#[test]
fn damaged_compiled_code_is_compiled_again() -> Result<()> {
    let (host, ..) = two_models()?;
    let mut damaged = 0;
    for entry in fs::read_dir(host.data().join("cache"))? {
        let path = entry?.path();
        if path.is_file() {
            let mut content = fs::read(&path)?;
            let middle = content.len() / 2;
            content[middle] ^= 1;
            fs::write(&path, content)?;
            damaged += 1;
        }
    }
    assert!(damaged > 0, "nothing was kept of what was compiled");
    let host = Start::default().data_of(&host).start()?;
    for model in ["echo", "other"] {
        wait_until(|| Ok(host.call("", model, "input")?.status == 200))?;
        assert_eq!(host.call("", model, "input")?.ok()?.output("output"), [json!(1.0)]);
    }
    Ok(())
}

/// Flips bits at many positions of the database. In each case the host refuses to start with a clear error, or leaves out
/// the damaged parts, or is not affected. All results that it serves are correct.
#[test]
fn a_damaged_database_is_noticed() -> Result<()> {
    let (host, ..) = two_models()?;
    let whole = tempfile::tempdir()?;
    let copy = |from: &Path, to: &Path| -> Result<()> {
        for name in ["bulkhead.db", "bulkhead.db-wal", "bulkhead.db-shm"] {
            let _ = fs::remove_file(to.join(name));
            if from.join(name).exists() {
                fs::copy(from.join(name), to.join(name))?;
            }
        }
        Ok(())
    };
    // A clean start and shutdown moves the write-ahead log into the database file.
    let mut clean = Start::default().data_of(&host).start()?;
    clean.terminate()?;
    ensure!(clean.wait()?.success());
    copy(clean.data(), whole.path())?;
    let length = fs::metadata(whole.path().join("bulkhead.db"))?.len();
    let mut outcomes = [0; 2];
    for place in (0..40).map(|number| (length * number / 40 + 7 * number) % length) {
        copy(whole.path(), clean.data())?;
        let database = fs::OpenOptions::new().read(true).write(true).open(clean.data().join("bulkhead.db"))?;
        let mut byte = [0];
        database.read_exact_at(&mut byte, place)?;
        database.write_all_at(&[byte[0] ^ 0x10], place)?;
        match Start::default().data_of(&clean).start() {
            Err(error) => {
                let said = format!("{error:#}");
                ensure!(said.contains("stored state"), "at {place}: {said}");
                outcomes[0] += 1;
            }
            Ok(host) => {
                for model in ["echo", "other"] {
                    let reply = host.call("", model, "input")?;
                    let right = reply.status != 200 || reply.output("output") == [json!(1.0)];
                    ensure!(right && [200, 401, 404, 503].contains(&reply.status), "at {place}: {reply:?}");
                }
                host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?;
                outcomes[1] += 1;
            }
        }
    }
    println!("40 flipped bits: {} starts refused, {} hosts served", outcomes[0], outcomes[1]);
    Ok(())
}
