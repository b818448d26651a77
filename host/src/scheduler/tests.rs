//! Tests of admission: whose limit a refusal names, and what a stream holds while it is paused.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::{AdmissionError, Compute, Permit};
use crate::config::{Compute as ComputeConfig, Config};
use crate::telemetry::Metrics;
use crate::tenant::Tenant;

/// A scheduler on which no call waits for longer than it takes to look.
fn compute(concurrency: usize) -> Compute {
    let config = Config::default().compute;
    let config = ComputeConfig { concurrency, threads: 1, streams: 4, queue_time: Duration::ZERO, ..config };
    Compute::new(&config, Arc::new(Metrics::new().unwrap())).unwrap()
}

fn tenant(name: &str, concurrency: usize, streams: usize) -> Arc<Tenant> {
    let limits = crate::config::TenantLimits { concurrency, streams, ..Config::default().tenant };
    Arc::new(Tenant::new(name, limits))
}

async fn call(compute: &Compute, tenant: &Arc<Tenant>) -> Result<Permit, AdmissionError> {
    compute.admit(tenant, Arc::default()).await
}

async fn stream(compute: &Compute, tenant: &Arc<Tenant>) -> Result<Permit, AdmissionError> {
    compute.admit_stream(tenant, Arc::default()).await
}

#[tokio::test]
async fn a_tenant_that_holds_no_slot_is_admitted_while_others_hold_all_slots() {
    let (compute, hog, newcomer) = (compute(2), tenant("hog", 16, 9), tenant("newcomer", 16, 9));
    let _held = [call(&compute, &hog).await.unwrap(), call(&compute, &hog).await.unwrap()];
    let _first = call(&compute, &newcomer).await.unwrap();
    // Neither tenant has reached its own limit, so the refusal names the host's.
    let full = AdmissionError::TooLong { concurrency: 2, waited: Duration::ZERO };
    for tenant in [&newcomer, &hog] {
        assert_eq!(call(&compute, tenant).await.err(), Some(full.clone()));
    }
}

#[tokio::test]
async fn a_tenant_that_computes_nothing_gets_a_thread_while_others_keep_all_threads() {
    let (compute, hog, newcomer) = (compute(4), tenant("hog", 16, 9), tenant("newcomer", 16, 9));
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let permit = call(&compute, &hog).await.unwrap();
    // Work that keeps its thread, as a call does that waits for a graph.
    let kept = compute.start(permit, |permit| Box::pin(async move { drop((ended.recv(), permit)) }));
    let again = call(&compute, &hog).await.unwrap();
    let mut again = Box::pin(compute.run(again, super::Placement::ComputeThread, |_| Box::pin(async {})));
    assert!((&mut again).now_or_never().is_none(), "its tenant keeps the only thread");
    let permit = call(&compute, &newcomer).await.unwrap();
    compute.run(permit, super::Placement::ComputeThread, |_| Box::pin(async {})).await.unwrap();
    assert!((&mut again).now_or_never().is_none());
    end.send(()).unwrap();
    again.await.unwrap();
    kept.await.unwrap();
}

#[tokio::test]
async fn a_tenant_at_its_own_limit_is_told_so_even_if_the_host_is_full() {
    let (compute, one) = (compute(1), tenant("one", 1, 9));
    let _held = call(&compute, &one).await.unwrap();
    let own = AdmissionError::TenantTooLong { concurrency: 1, waited: Duration::ZERO };
    assert_eq!(call(&compute, &one).await.err(), Some(own));
}

#[tokio::test]
async fn a_paused_stream_holds_no_slot_and_takes_one_before_it_goes_on() {
    let (compute, tenant) = (compute(1), tenant("a", 16, 9));
    let first = stream(&compute, &tenant).await.unwrap();
    let (taken, reader) = oneshot::channel::<()>();
    let mut waits = Box::pin(first.release_while(reader));
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!((compute.metrics.paused_streams.get(), compute.metrics.in_flight.get()), (1, 1));
    let second = call(&compute, &tenant).await.unwrap();
    taken.send(()).unwrap();
    assert!((&mut waits).now_or_never().is_none(), "the other call holds the only slot");
    assert_eq!((compute.metrics.paused_streams.get(), compute.metrics.waiting.get()), (0, 1));
    drop(second);
    assert!((&mut waits).now_or_never().is_some());
    drop(waits);
    assert_eq!((compute.slots.free(), compute.metrics.waiting.get()), (0, 0));
    drop(first);
    assert_eq!((compute.slots.free(), compute.metrics.in_flight.get()), (1, 0));
}

#[tokio::test]
async fn a_stream_that_ends_while_it_is_paused_leaves_nothing_behind() {
    let (compute, tenant) = (compute(1), tenant("a", 16, 1));
    let first = stream(&compute, &tenant).await.unwrap();
    let mut waits = Box::pin(first.release_while(std::future::pending::<()>()));
    assert!((&mut waits).now_or_never().is_none());
    drop(waits);
    drop(first);
    assert_eq!((compute.slots.free(), compute.streams.free()), (1, 4));
    assert_eq!((compute.metrics.paused_streams.get(), compute.metrics.in_flight.get()), (0, 0));
}

#[tokio::test]
async fn open_streams_are_bounded_for_a_tenant_and_for_the_host() {
    let (compute, modest, greedy) = (compute(16), tenant("modest", 16, 1), tenant("greedy", 16, 100));
    let held = stream(&compute, &modest).await.unwrap();
    let own = AdmissionError::TenantStreams { streams: 1 };
    assert_eq!(stream(&compute, &modest).await.err(), Some(own));
    drop(held);
    let mut open = Vec::new();
    let refused = loop {
        match stream(&compute, &greedy).await {
            Ok(permit) => open.push(permit),
            Err(refused) => break refused,
        }
    };
    assert_eq!((open.len(), refused), (3, AdmissionError::Streams { streams: 4, share: 3 }));
    assert!(stream(&compute, &modest).await.is_ok(), "one is left for the next tenant");
}
