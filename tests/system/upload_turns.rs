//! Uploads of one tenant that take long do not hold up those of other tenants and of the operator.

use std::io::Write;
use std::net::TcpStream;

use anyhow::Result;
use serde_json::json;
use system_tests::{Draft, Host, Publisher, Start, wait_until};

/// Tenants that get a key of the role `deploy` each.
const TENANTS: [&str; 3] = ["slow", "second", "third"];

fn with_tenants(config: &str) -> Result<(Host, Publisher, [String; 3])> {
    let host = Start::default().config(config).start()?;
    let acme = Publisher::trusted("acme", &host)?;
    let mut keys = TENANTS.map(String::from);
    for key in &mut keys {
        host.tenant(key, &json!({}))?;
        *key = host.key(key, "deploy")?;
    }
    Ok((host, acme, keys))
}

/// Uploads a new version for the operator, and for the second and the third tenant with their own keys.
fn others_upload(host: &Host, acme: &Publisher, keys: &[String; 3], version: &str) -> Result<()> {
    let archive = acme.sign(&Draft::identity("acme/echo", version));
    let uploads = [(&host.token, "default"), (&host.token, "slow"), (&keys[1], "second"), (&keys[2], "third")];
    for (key, tenant) in uploads {
        host.upload(key, tenant, &archive)?.ok()?;
    }
    Ok(())
}

/// Each connection announces an archive and sends one byte of it.
#[test]
fn slow_senders_of_one_tenant_hold_up_nobody_else() -> Result<()> {
    let (host, acme, keys) = with_tenants("")?;
    let slow = || -> Result<TcpStream> {
        let mut stream = TcpStream::connect(host.admin_url.trim_start_matches("http://"))?;
        let head = "POST /v1/bundles HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n";
        write!(stream, "{head}authorization: Bearer {}\r\n\r\nx", keys[0])?;
        Ok(stream)
    };
    let senders = (0..16).map(|_| slow()).collect::<Result<Vec<_>>>()?;
    // The tenant may hold half of the archives that are received at once: `uploads` is 2, and 4 are received for each.
    wait_until(|| Ok(host.files_of("staging")?.len() == 4))?;
    others_upload(&host, &acme, &keys, "1.0.0")?;
    assert_eq!(host.files_of("staging")?.len(), 4, "the others of the tenant wait for their turns");
    drop(senders);
    host.upload(&keys[0], "slow", &acme.sign(&Draft::identity("acme/echo", "2.0.0")))?.ok()?;
    wait_until(|| Ok(host.files_of("staging")?.is_empty()))
}

#[test]
fn long_trials_of_one_tenant_hold_up_nobody_else() -> Result<()> {
    let (host, acme, keys) = with_tenants("[call]\nfuel = '1 T'\ntime = '3s'\n")?;
    others_upload(&host, &acme, &keys, "1.0.0")?;
    let trial = "[[trial]]\nname = \"endless\"\ninputs = { x = { datatype = \"FP32\", data = [1.0] } }\n";
    let bundles =
        ["acme/first", "acme/other"].map(|name| acme.sign(&Draft::hostile(name, "1.0.0", "loop").more(trial)));
    std::thread::scope(|scope| -> Result<()> {
        let upload = |archive| host.upload(&keys[0], "slow", archive);
        let uploads = bundles.each_ref().map(|archive| scope.spawn(move || upload(archive)));
        // One of them is tried, and the other waits to be unpacked.
        wait_until(|| {
            let tried = host.metrics()?.contains("bulkhead_calls_in_flight 1");
            Ok(tried && host.files_of("staging")?.len() == 1)
        })?;
        others_upload(&host, &acme, &keys, "2.0.0")?;
        assert!(uploads.iter().all(|upload| !upload.is_finished()), "the others waited for a trial");
        for upload in uploads {
            upload.join().unwrap()?.refused(422, "trial_failed", &["endless"])?;
        }
        Ok(())
    })
}
