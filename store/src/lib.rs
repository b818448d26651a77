//! The persistent state of the host: documents, blobs, the audit log and usage. No other crate knows how it is stored.
//!
//! Writes are durable: the effect of a call that returns `Ok` survives the death of the process and of the machine, and a
//! call that returns `Err` leaves nothing behind. The exception is [`StoreError::Unconfirmed`], after which only a restart
//! shows if the write was kept. Reads are verified: every document, blob, audit entry and row of usage carries a hash. Data
//! that does not match its hash is reported by name and never returned, except for audit entries, which are returned with a
//! mark.
//!
//! The host accesses this state through two narrow traits, [`Metadata`] and [`Blobs`]. Here they are implemented by one
//! data folder, with an SQLite database and a folder of files. All calls block: call them on threads that may wait.

mod audit;
mod audit_part;
mod blobs;
mod durable;
mod error;
mod folder;
mod metadata;
mod record_hash;
mod reserve;
mod secret;
mod sqlite;

pub use crate::audit::{AuditBroken, AuditEntry, AuditHead, AuditSummary};
pub use crate::audit_part::{AuditPart, AuditPartError, verify_audit_parts};
pub use crate::blobs::Blobs;
pub use crate::error::{Cause, StoreError};
pub use crate::folder::DataFolder;
pub use crate::metadata::{
    Act, Change, ChangedDocument, Changes, Corrupt, Document, Loaded, Metadata, RenamedUsage, Repaired, Revision,
    StoredUsage, UsageRow, Write,
};
pub use crate::secret::{Secret, Token};
pub use bulkhead_digest::Digest;
