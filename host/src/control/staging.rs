//! The first steps of an upload: the archive is unpacked, verified and checked against the state, and its files are
//! stored.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use bulkhead_bundle::{Digest, Files, KeyHint, SIGNATURE, verify};
use semver::Version;

use super::claims::Claim;
use super::owner::Owner;
use super::records::{BundleState, StoredBundle, StoredFile, Timestamp};
use super::state::{ControlState, bundle_key};
use super::{BlockingControl, ControlError};
use crate::activation::{Bundle, Dependencies};
use crate::catalog::Entry;
use crate::tenant::Grants;

/// A completed step, reported to the client that uploads.
#[derive(Clone, Debug)]
pub struct Progress {
    pub step: &'static str,
    pub detail: String,
}

/// The result of an upload.
#[derive(Clone, Debug)]
pub struct Uploaded {
    pub name: String,
    pub version: Version,
    pub digest: Digest,
    /// The name that clients use; none if the bundle only lends plugins to others.
    pub model: Option<String>,
    pub tenant: String,
    /// True if the bundle was there already, with the same contents.
    pub already: bool,
    /// True if the model is served and answers in a stream.
    pub streams: bool,
    /// What its publisher should know, although it was accepted.
    pub warnings: Vec<String>,
}

/// Files with a valid signature, or unsigned files that are accepted.
pub(super) struct Trusted {
    pub bundle: Bundle,
    digest: Digest,
    key: Option<KeyHint>,
    pub grants: Grants,
}

/// An upload whose files are on the disk, where its claim keeps them until the upload has ended.
pub(super) struct Staged {
    pub owner: Owner,
    pub stored: StoredBundle,
    pub others: Dependencies,
    pub trusted: Trusted,
    pub claim: Claim,
}

/// The outcome of the steps that come before activation.
pub(super) enum Staging {
    New(Box<Staged>),
    /// The same contents are served already.
    AlreadyServed(Uploaded),
}

pub(super) type Report = Arc<dyn Fn(Progress) + Send + Sync>;

impl BlockingControl {
    /// Unpacks, verifies and stores the files of an archive.
    pub(super) fn stage_archive(
        &self,
        archive: impl Read,
        owner: Owner,
        by: &str,
        report: &dyn Fn(Progress),
    ) -> Result<Staging, ControlError> {
        let trusted = self.examine(Files::unpack(archive, &self.bounds)?)?;
        report(Progress { step: "verified", detail: trusted.describe() });
        let staged = self.stage(trusted, owner, by)?;
        // This is checked only after the files were staged, which repairs files that are damaged on the disk.
        if self.read(|state| self.is_served(state, &staged.stored)) {
            let mut uploaded = Uploaded { already: true, ..Uploaded::new(&staged.stored) };
            staged.claim.release(self);
            self.note_routes(&mut uploaded);
            return Ok(Staging::AlreadyServed(uploaded));
        }
        report(Progress { step: "stored", detail: format!("{} bytes", staged.stored.bytes) });
        Ok(Staging::New(Box::new(staged)))
    }

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
    fn stage(&self, trusted: Trusted, owner: Owner, by: &str) -> Result<Staged, ControlError> {
        let mut stored = trusted.describe_stored(&owner.name, by);
        let (uses, replaced) = self.read(|state| {
            owner.check(state)?;
            self.check_room(state, &stored)?;
            let present = state.present(&stored);
            let uses = match present {
                Some(present) => present.uses.clone(),
                None => state.choose_stages(&trusted.bundle, &owner.name, self.dev)?,
            };
            Ok::<_, ControlError>((uses, present.map(|present| present.files.clone()).unwrap_or_default()))
        })?;
        stored.uses = uses;
        let digests: Vec<Digest> = stored.files.values().chain(replaced.values()).map(|file| file.digest).collect();
        let claim = Claim::new(self, digests);
        match self.store_files(&trusted.bundle).and_then(|()| self.open_used(&stored)) {
            Ok(others) => Ok(Staged { owner, stored, others, trusted, claim }),
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
    pub(super) fn is_served(&self, state: &ControlState, stored: &StoredBundle) -> bool {
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
            imports: Some(manifest.imports()),
        }
    }
}

impl Uploaded {
    /// The result of an upload that changes the state.
    pub(super) fn new(stored: &StoredBundle) -> Uploaded {
        Uploaded {
            name: stored.name.clone(),
            version: stored.version.clone(),
            digest: stored.digest,
            model: stored.model.clone(),
            tenant: stored.tenant.clone(),
            already: false,
            streams: false,
            warnings: Vec::new(),
        }
    }
}
