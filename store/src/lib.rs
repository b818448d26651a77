//! Where the state of the host lives, and the only place that knows: documents, blobs, the audit log and usage.
//!
//! What is acknowledged is durable: a call that returns `Ok` survives the death of the process and of the machine, and
//! one that returns `Err` leaves nothing behind. What is read is what was written: every document, blob, audit entry and
//! row of usage carries a hash, and what does not fit its hash is reported by name and never handed out.
//!
//! Two narrow traits, [`Metadata`] and [`Blobs`], are all that the host sees. Here they are one data folder with an
//! SQLite database and a folder of files. All calls block: call them on threads that may wait.

mod audit;
mod blobs;
mod digest;
mod durable;
mod error;
mod folder;
mod metadata;
mod secret;
mod sqlite;

pub use crate::audit::{AuditBroken, AuditEntry, AuditHead, AuditSummary};
pub use crate::blobs::Blobs;
pub use crate::digest::{Digest, NotADigest};
pub use crate::error::StoreError;
pub use crate::folder::DataFolder;
pub use crate::metadata::{Act, Change, Corrupt, Document, Loaded, Metadata, StoredUsage, UsageRow, Write};
pub use crate::secret::{Secret, Token};
