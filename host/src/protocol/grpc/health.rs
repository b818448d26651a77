//! The standard gRPC health service, for the host as a whole and for each of its services.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health as HealthCalls;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::catalog::Catalog;
use crate::http::listener::Shutdown;

pub(crate) struct Health {
    pub catalog: Arc<Catalog>,
    pub shutdown: Shutdown,
    /// Names of the services that can be checked; the empty name stands for the host.
    pub services: Vec<&'static str>,
}

/// Interval at which the status is checked for clients that watch it.
const WATCH_EVERY: Duration = Duration::from_millis(500);

impl Health {
    fn status(&self, service: &str) -> Option<ServingStatus> {
        let known = service.is_empty() || self.services.contains(&service);
        known.then(|| serving(&self.catalog, &self.shutdown))
    }
}

fn serving(catalog: &Catalog, shutdown: &Shutdown) -> ServingStatus {
    let ready = catalog.all_ready() && !shutdown.has_begun();
    if ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl HealthCalls for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        let status = self.status(service);
        status.map(|status| Response::new(response(status))).ok_or_else(|| {
            let known = self.services.join(", ");
            Status::not_found(format!("there is no service \"{service}\"; the services are: {known}"))
        })
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Sends the current status, and then each change, until the host shuts down.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        if self.status(&request.get_ref().service).is_none() {
            let unknown = stream::once(async { Ok(response(ServingStatus::ServiceUnknown)) });
            return Ok(Response::new(Box::pin(unknown.chain(stream::pending()))));
        }
        let (catalog, shutdown) = (self.catalog.clone(), self.shutdown.clone());
        let changes = stream::unfold(None, move |last| {
            let (catalog, shutdown) = (catalog.clone(), shutdown.clone());
            async move {
                loop {
                    let status = serving(&catalog, &shutdown);
                    if last != Some(status) {
                        return Some((Ok(response(status)), Some(status)));
                    }
                    if shutdown.has_begun() {
                        return None;
                    }
                    let pause = tokio::time::sleep(WATCH_EVERY);
                    tokio::select! { () = pause => {}, () = shutdown.begun() => {} }
                }
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
