//! The rules of tensors are the same in a plugin's native tests and in a host: the same results, and the same texts.

use anyhow::Result;
use serde_json::Value;
use system_tests::{Draft, Publisher, Start};

#[test]
fn native_tests_and_hosts_refuse_the_same_tensors() -> Result<()> {
    let host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    acme.push(&host, &Draft::stage("acme/cases", "1.0.0", "tensor_cases", ""))?.ok()?;
    let in_host = host.call("", "cases", "x")?.ok()?.output("outcomes");
    let native: Vec<Value> = tensor_cases::outcomes().into_iter().map(Value::from).collect();
    for (native, in_host) in native.iter().zip(&in_host) {
        assert_eq!(native, in_host);
    }
    assert_eq!(native.len(), in_host.len());
    Ok(())
}
