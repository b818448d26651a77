//! A host with many models restarts quickly, because compiled code comes from the cache.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use system_tests::{Draft, Publisher, Start, wait_until};

const MODELS: usize = 100;

#[test]
fn a_hundred_models_are_back_within_two_seconds() -> Result<()> {
    let mut host = Start::default().start()?;
    let acme = Publisher::trusted("acme", &host)?;
    for number in 0..MODELS {
        acme.push(&host, &Draft::identity(&format!("acme/model-{number}"), "1.0.0"))?.ok()?;
    }
    host.kill()?;
    let began = Instant::now();
    let host = Start::default().data_of(&host).start()?;
    let listening = began.elapsed();
    let last = format!("model-{}", MODELS - 1);
    wait_until(|| Ok(host.call("", "model-0", "input")?.status == 200))?;
    let first = began.elapsed();
    wait_until(|| Ok(host.get("/v2/health/ready")?.status == 200))?;
    let all = began.elapsed();
    assert_eq!(host.call("", &last, "input")?.ok()?.output("output"), [json!(1.0)]);
    println!(
        "listening after {listening:.1?}, the first answer after {first:.1?}, all {MODELS} models after {all:.1?}"
    );
    assert!(first < Duration::from_secs(2), "the first answer came after {first:?}");
    Ok(())
}
