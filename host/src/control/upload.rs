//! Uploads of bundles, from untrusted bytes to a live version. Each state is a type of its own (`staging.rs`,
//! `publish.rs`), so that no step can be skipped, and a failure at any step leaves what served before unchanged.

use std::io::Read;
use std::sync::Arc;

use bulkhead_store::StoreError;

use super::owner::Owner;
use super::publish::Publishable;
use super::staging::{Progress, Report, Staging, Uploaded};
use super::{Actor, Control, ControlError};
use crate::scheduler::Party;

impl Control {
    /// Uploads a bundle in the turns of `party`. The archive is dropped once it was unpacked. The upload continues even if
    /// the client that sent it disconnects.
    pub async fn upload(
        self: &Arc<Self>,
        who: Actor,
        party: Party,
        owner: Owner,
        archive: impl Read + Send + 'static,
        report: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Uploaded, ControlError> {
        let control = self.clone();
        let report: Report = Arc::new(report);
        let uploading = tokio::spawn(async move { control.upload_steps(who, party, owner, archive, report).await });
        uploading.await.unwrap_or(Err(ControlError::Panicked))
    }

    async fn upload_steps(
        self: Arc<Self>,
        who: Actor,
        party: Party,
        owner: Owner,
        archive: impl Read + Send + 'static,
        report: Report,
    ) -> Result<Uploaded, ControlError> {
        let _turn = self.upload_turns.take(&party).await;
        let told = report.clone();
        let by = who.clone();
        let staging = self.blocking(move |control| control.stage_archive(archive, owner, &by, &*told)).await?;
        let staged = match staging {
            Staging::New(staged) => *staged,
            Staging::AlreadyServed(uploaded) => return Ok(uploaded),
        };
        let (claim, activated) = Publishable::activate(&self, &party, staged, report).await;
        self.blocking(move |control| {
            let published = activated.and_then(|publishable| control.publish(&who, publishable));
            match &published {
                // It is not known whether the next start finds the bundle, so its files stay.
                Err(ControlError::Store(StoreError::Unconfirmed { .. })) => claim.keep(),
                _ => claim.release(control),
            }
            published
        })
        .await
    }
}
