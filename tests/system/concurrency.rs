//! Concurrent uploads and deletes: the outcome equals that of some sequential order.

use std::sync::Barrier;

use anyhow::{Context, Result};
use serde_json::Value;
use system_tests::{Draft, Host, Publisher, Reply, Start};

/// Sends all archives at the same time.
fn at_once(host: &Host, archives: &[Vec<u8>]) -> Vec<Result<Reply>> {
    let barrier = Barrier::new(archives.len());
    std::thread::scope(|scope| {
        let send = |archive| {
            barrier.wait();
            host.upload(&host.token, "default", archive)
        };
        let threads: Vec<_> = archives.iter().map(|archive| scope.spawn(move || send(archive))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn many_uploads_at_once_are_each_done_once_within_little_memory() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let before = host.peak_memory()?;
    let ballast = |number: u8| vec![number; 8 << 20];
    let draft = |number: u8| Draft::identity("acme/echo", &format!("1.{number}.0")).file("ballast", ballast(number));
    let archives: Vec<_> = (0..50).map(|number| acme.sign(&draft(number))).collect();
    for reply in at_once(&host, &archives) {
        assert_eq!(reply?.ok()?.json()["already"], false);
    }
    let grown = host.peak_memory()? - before;
    println!("50 uploads of 8 MiB at once took {} MiB more", grown >> 20);
    assert!(grown < 350 << 20, "{grown} bytes more for 50 uploads of 8 MiB, of which two are unpacked at once");
    assert_eq!(host.version("", "echo")?, "1.49.0");
    let model = host.admin("GET", "/v1/models/echo", &Value::Null)?.ok()?.json();
    assert_eq!(model["versions"].as_array().map(Vec::len), Some(50));
    // A manifest, a signature and the ballast for each upload; the component is stored once.
    assert_eq!((host.files_of("staging")?.len(), host.files_of("blobs")?.len()), (0, 151));
    Ok(())
}

#[test]
fn of_concurrent_uploads_of_one_version_one_wins() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let same = acme.sign(&Draft::identity("acme/same", "1.0.0"));
    let replies = at_once(&host, &vec![same; 6]);
    let outcomes = replies.into_iter().map(|reply| Ok(reply?.ok()?.json()["already"].as_bool()));
    let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
    assert_eq!(outcomes.iter().filter(|already| **already == Some(false)).count(), 1, "{outcomes:?}");

    let draft = |number: usize| Draft::identity("acme/race", "1.0.0").more(&format!("# {number}"));
    let archives: Vec<_> = (0..6).map(|number| acme.sign(&draft(number))).collect();
    let replies = at_once(&host, &archives).into_iter().collect::<Result<Vec<_>>>()?;
    let (good, bad): (Vec<Reply>, Vec<Reply>) = replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!(good.len(), 1);
    let digest = good[0].json()["digest"].clone();
    for reply in bad {
        reply.refused(409, "version_taken", &[digest.as_str().context("no digest")?])?;
    }
    // Three files of the first bundle, and the manifest and signature of the second; both share the component.
    assert_eq!((host.files_of("staging")?.len(), host.files_of("blobs")?.len()), (0, 5));
    let audit = host.admin("GET", "/v1/audit?limit=1000", &Value::Null)?.ok()?.json();
    let uploads = audit.as_array().into_iter().flatten().filter(|entry| entry["what"] == "bundle upload").count();
    assert_eq!(uploads, 2);
    Ok(())
}

/// Concurrent deletes and uploads of the same contents, repeated: each round leaves either the whole bundle or none of it.
#[test]
fn uploads_and_deletes_at_once_leave_a_whole_bundle_or_none() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let (echo, other) = (Draft::identity("acme/echo", "1.0.0"), Draft::identity("acme/other", "1.0.0"));
    acme.push(&host, &other)?.ok()?;
    for _ in 0..10 {
        acme.push(&host, &echo)?.ok()?;
        let path = format!("/v1/bundles/{}", echo.digest());
        std::thread::scope(|scope| -> Result<()> {
            let upload = scope.spawn(|| acme.push(&host, &echo));
            let remove = scope.spawn(|| host.admin("DELETE", &path, &Value::Null));
            upload.join().unwrap()?.ok()?;
            remove.join().unwrap()?.ok().map(drop)
        })?;
        let served = host.call("", "echo", "input")?.status == 200;
        let listed = host.admin("GET", "/v1/bundles", &Value::Null)?.ok()?.json();
        let kept = listed.as_array().into_iter().flatten().any(|b| b["name"] == "acme/echo" && b["state"] == "active");
        assert_eq!(served, kept);
        assert_eq!(host.files_of("blobs")?.len(), if kept { 5 } else { 3 });
        assert_eq!(host.call("", "other", "input")?.status, 200);
    }
    Ok(())
}
