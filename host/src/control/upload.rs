//! Uploads of bundles, from untrusted bytes to a live version. Each state is a type of its own, so that no step can be
//! skipped, and a failure at any step leaves what served before unchanged.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use bulkhead_bundle::{Digest, Files, KeyHint, SIGNATURE, verify};
use bulkhead_store::StoreError;
use semver::Version;
use serde::Serialize;
use utoipa::ToSchema;

use super::claims::Claim;
use super::records::{BundleState, ModelSettings, StoredBundle, StoredFile, Timestamp};
use super::state::{Change, ControlState, bundle_key, model_key};
use super::{Actor, BlockingControl, Control, ControlError};
use crate::activation::{Bundle, Dependencies};
use crate::catalog::Entry;
use crate::pipeline::Pipeline;
use crate::tenant::Grants;

/// A completed step, reported to the client that uploads.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    pub step: &'static str,
    pub detail: String,
}

/// The result of an upload.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Uploaded {
    pub name: String,
    #[schema(value_type = String)]
    pub version: Version,
    #[schema(value_type = String)]
    pub digest: Digest,
    /// The name that clients use; none if the bundle only lends plugins to others.
    pub model: Option<String>,
    pub tenant: String,
    /// True if the bundle was there already, with the same contents.
    pub already: bool,
}

/// Files with a valid signature, or unsigned files that are accepted.
struct Trusted {
    bundle: Bundle,
    digest: Digest,
    key: Option<KeyHint>,
    grants: Grants,
}

/// An upload whose files are on the disk, where its claim keeps them until the upload has ended.
struct Staged {
    stored: StoredBundle,
    others: Dependencies,
    trusted: Trusted,
    claim: Claim,
}

type Report = Arc<dyn Fn(Progress) + Send + Sync>;

impl Control {
    /// Uploads a bundle. The archive is dropped once it was unpacked. The upload continues even if the client that sent it
    /// disconnects.
    pub async fn upload(
        self: &Arc<Self>,
        who: Actor,
        tenant: String,
        archive: impl Read + Send + 'static,
        report: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Uploaded, ControlError> {
        let control = self.clone();
        let report: Report = Arc::new(report);
        let uploading = tokio::spawn(async move { control.upload_steps(who, tenant, archive, report).await });
        uploading.await.unwrap_or(Err(ControlError::Panicked))
    }

    async fn upload_steps(
        self: Arc<Self>,
        who: Actor,
        tenant: String,
        archive: impl Read + Send + 'static,
        report: Report,
    ) -> Result<Uploaded, ControlError> {
        let _place = self.upload_places.acquire().await;
        let told = report.clone();
        let (by, owner) = (who.clone(), tenant.clone());
        let staged = self
            .blocking(move |control| {
                let trusted = control.examine(Files::unpack(archive, &control.bounds)?)?;
                told(Progress { step: "verified", detail: trusted.describe() });
                let staged = control.stage(trusted, &owner, &by)?;
                // This is checked only after the files were staged, which repairs files that are damaged on the disk.
                if control.read(|state| control.is_served(state, &staged.stored)) {
                    staged.claim.release(control);
                    return Ok(Err(Uploaded::of(&staged.stored, true)));
                }
                told(Progress { step: "stored", detail: format!("{} bytes", staged.stored.bytes) });
                Ok(Ok(staged))
            })
            .await?;
        let Staged { stored, others, trusted, claim } = match staged {
            Ok(staged) => staged,
            Err(already) => return Ok(already),
        };
        let told = move |part: &str| report(Progress { step: "activated", detail: part.to_owned() });
        let activated = match &stored.model {
            Some(_) => {
                let _turn = self.activations.acquire().await;
                let (bundle, others) = (Arc::new(trusted.bundle), Arc::new(others));
                self.activate(&tenant, bundle, trusted.grants, others, Arc::new(told)).await.map(Some)
            }
            None => Ok(None),
        };
        self.blocking(move |control| {
            let published = activated.and_then(|pipeline| control.publish(&who, stored, pipeline));
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

impl BlockingControl {
    /// Verifies the files; nothing of their contents is read before that.
    fn examine(&self, files: Files) -> Result<Trusted, ControlError> {
        if self.dev && files.get(SIGNATURE).is_none() {
            let digest = files.digest();
            let bundle = Bundle::complete(files)?;
            let grants = bundle.manifest.imports().into_iter().collect();
            return Ok(Trusted { bundle, digest, key: None, grants });
        }
        let verified = verify(files, &self.bounds, |hint| self.read(|state| state.key(hint)))?;
        let (digest, hint) = (verified.digest(), verified.key());
        let bundle = Bundle::complete(verified.into_files())?;
        let grants = self.read(|state| state.may_publish(&bundle, &hint))?;
        Ok(Trusted { bundle, digest, key: Some(hint), grants })
    }

    /// Makes the checks that need the state, and writes the files to the disk.
    fn stage(&self, trusted: Trusted, tenant: &str, by: &str) -> Result<Staged, ControlError> {
        let mut stored = trusted.describe_stored(tenant, by);
        let (uses, replaced) = self.read(|state| {
            self.check_room(state, &stored)?;
            let present = state.present(&stored);
            let uses = match present {
                Some(present) => present.uses.clone(),
                None => state.choose_stages(&trusted.bundle, tenant, self.dev)?,
            };
            Ok::<_, ControlError>((uses, present.map(|present| present.files.clone()).unwrap_or_default()))
        })?;
        stored.uses = uses;
        let digests: Vec<Digest> = stored.files.values().chain(replaced.values()).map(|file| file.digest).collect();
        let claim = Claim::new(self, digests);
        match self.store_files(&trusted.bundle).and_then(|()| self.open_used(&stored)) {
            Ok(others) => Ok(Staged { stored, others, trusted, claim }),
            Err(error) => {
                claim.release(self);
                Err(error)
            }
        }
    }

    fn store_files(&self, bundle: &Bundle) -> Result<(), ControlError> {
        for (_, content) in bundle.files().iter() {
            self.blobs().put(content)?;
        }
        Ok(())
    }

    /// True if the same contents, signed by the same key, are served already.
    fn is_served(&self, state: &ControlState, stored: &StoredBundle) -> bool {
        let known = state.bundles.get(&bundle_key(&stored.tenant, &stored.name, &stored.version));
        let same = known.is_some_and(|known| {
            let same = known.digest == stored.digest && known.key == stored.key;
            same && known.state == BundleState::Active && state.trusted(known, self.dev)
        });
        let live = stored.model.as_ref().is_none_or(|model| {
            let entry = self.catalog.entry(&stored.tenant, model, &stored.version);
            matches!(entry, Some(Entry::Ready(_) | Entry::Loading))
        });
        same && live
    }

    /// Checks the state once more, commits the bundle, and puts it into the catalog, as one act.
    fn publish(
        &self,
        who: &str,
        stored: StoredBundle,
        pipeline: Option<Arc<Pipeline>>,
    ) -> Result<Uploaded, ControlError> {
        let key = bundle_key(&stored.tenant, &stored.name, &stored.version);
        let uploaded = Uploaded::of(&stored, false);
        let subject = format!("{} of tenant {}", stored.name, stored.tenant);
        self.commit(who, "bundle upload", &subject, |state, change| {
            self.check_room(state, &stored)?;
            if !state.trusted(&stored, self.dev) {
                let Uploaded { name, version, .. } = uploaded;
                return Err(ControlError::Withdrawn { name, version });
            }
            if self.is_served(state, &stored) {
                return Ok(Uploaded { already: true, ..uploaded });
            }
            let note =
                |stored: &StoredBundle| serde_json::json!({ "version": stored.version, "digest": stored.digest });
            change.audit(&state.bundles.get(&key).map(note), &note(&stored));
            change.put(&key, stored.clone());
            if let (Some(model), Some(pipeline)) = (&stored.model, pipeline) {
                self.note_served(state, change, &stored, model);
                let (catalog, entry) = (self.catalog.clone(), Entry::Ready(pipeline));
                let (tenant, model, version) = (stored.tenant.clone(), model.clone(), stored.version.clone());
                let (key, dev) = (key.clone(), self.dev);
                // The model's policy may leave this version out.
                change.then(move |state| {
                    if state.wanted(dev).contains(&key) {
                        catalog.set(&tenant, &model, &version, entry);
                    }
                });
            }
            Ok(uploaded)
        })
    }

    /// Remembers the version that served until now, if a newer one takes over.
    fn note_served(&self, state: &ControlState, change: &mut Change, stored: &StoredBundle, model: &str) {
        let key = model_key(&stored.tenant, model);
        let mut settings = state.models.get(&key).cloned().unwrap_or_default();
        let Some(before) = self.catalog.served(&stored.tenant, model) else { return };
        if settings.routing.labels.contains_key(crate::catalog::STABLE) || before >= stored.version {
            return;
        }
        settings.remember(before);
        change.put::<ModelSettings>(&key, settings);
    }
}

impl Trusted {
    fn describe(&self) -> String {
        let bundle = &self.bundle.manifest.bundle;
        let signed = self.key.map_or("unsigned".into(), |key| format!("signed by {key}"));
        format!("{} {} {}, {signed}", bundle.name, bundle.version, self.digest)
    }

    fn describe_stored(&self, tenant: &str, by: &str) -> StoredBundle {
        let manifest = &self.bundle.manifest;
        let file = |(path, content): (&str, &bytes::Bytes)| {
            (path.to_owned(), StoredFile { digest: Digest::of(content), bytes: content.len() as u64 })
        };
        StoredBundle {
            tenant: tenant.into(),
            name: manifest.bundle.name.clone(),
            version: manifest.bundle.version.clone(),
            digest: self.digest,
            model: manifest.pipeline.is_some().then(|| manifest.model_name().to_owned()),
            key: self.key,
            files: self.bundle.files().iter().map(file).collect(),
            bytes: self.bundle.files().total_bytes(),
            uploaded: Timestamp::now(),
            by: by.into(),
            state: BundleState::Active,
            uses: BTreeMap::new(),
        }
    }
}

impl Uploaded {
    fn of(stored: &StoredBundle, already: bool) -> Uploaded {
        Uploaded {
            name: stored.name.clone(),
            version: stored.version.clone(),
            digest: stored.digest,
            model: stored.model.clone(),
            tenant: stored.tenant.clone(),
            already,
        }
    }
}
