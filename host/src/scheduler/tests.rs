//! Tests of admission: whose limit a refusal names.

use std::sync::Arc;
use std::time::Duration;

use super::{AdmissionError, Compute, Permit};
use crate::config::{Compute as ComputeConfig, Config};
use crate::telemetry::Metrics;
use crate::tenant::Tenant;

/// A scheduler on which no call waits for longer than it takes to look.
fn compute(concurrency: usize) -> Compute {
    let config = Config::default().compute;
    let config = ComputeConfig { concurrency, threads: 1, queue_time: Duration::ZERO, ..config };
    Compute::new(&config, Arc::new(Metrics::new().unwrap())).unwrap()
}

fn tenant(name: &str, concurrency: usize) -> Arc<Tenant> {
    let limits = crate::config::TenantLimits { concurrency, ..Config::default().tenant };
    Arc::new(Tenant::new(name, limits))
}

async fn call(compute: &Compute, tenant: &Arc<Tenant>) -> Result<Permit, AdmissionError> {
    compute.admit(tenant, Arc::default()).await
}

#[tokio::test]
async fn a_tenant_that_runs_no_call_is_admitted_while_others_hold_all_slots() {
    let (compute, hog, newcomer) = (compute(2), tenant("hog", 16), tenant("newcomer", 16));
    let _held = [call(&compute, &hog).await.unwrap(), call(&compute, &hog).await.unwrap()];
    let _first = call(&compute, &newcomer).await.unwrap();
    // Neither tenant has reached its own limit, so the refusal names the host's.
    let full = AdmissionError::TooLong { concurrency: 2, waited: Duration::ZERO };
    for tenant in [&newcomer, &hog] {
        assert_eq!(call(&compute, tenant).await.err(), Some(full.clone()));
    }
}

#[tokio::test]
async fn a_tenant_at_its_own_limit_is_told_so_even_if_the_host_is_full() {
    let (compute, one) = (compute(1), tenant("one", 1));
    let _held = call(&compute, &one).await.unwrap();
    let own = AdmissionError::TenantTooLong { concurrency: 1, waited: Duration::ZERO };
    assert_eq!(call(&compute, &one).await.err(), Some(own));
}
