//! The metadata store: documents about bundles, publishers, tenants and models, the audit log, and usage counters.
//! Documents are small, are all read at the start, and are written only together with an entry of the audit log.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AuditBroken, AuditEntry, AuditHead, AuditPart, AuditSummary, StoreError};

pub trait Metadata: Send + Sync {
    /// All documents, as they are at one revision. Damaged documents are named in the result, and the others still load.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Writes the change and its audit entry, all or nothing, as the next revision. They are durable when it returns `Ok`.
    /// Nothing is written, and the error is [`StoreError::Conflict`], if the store no longer has the revision `based_on`, on
    /// which the change was decided: two writers never overwrite each other's changes.
    fn commit(&self, based_on: Revision, change: &Change) -> Result<AuditEntry, StoreError>;

    /// The documents that changed after a revision. A reader that keeps documents in memory calls it from time to time,
    /// because the store informs no reader. The call costs little if nothing changed.
    fn changes_since(&self, revision: Revision) -> Result<Changes, StoreError>;

    /// Entries with an id above `after`, oldest first; at most `limit`, and never more than 1000.
    fn audit(&self, after: u64, limit: u64) -> Result<Vec<AuditEntry>, StoreError>;

    /// Moves the oldest entries of the audit log to a part, if the database has more than `keep` entries and a tenth. It
    /// moves the tenth, and writes the part before it removes the entries. Returns `None` if there is nothing to move. A log
    /// whose oldest entries are damaged stays as it is.
    fn rotate_audit(&self, keep: u64) -> Result<Option<AuditPart>, AuditBroken>;

    /// Verifies the chain of hashes from the first entry in the database to the last. With `noted`, a head that was noted earlier in
    /// another place, it also detects that the log up to that head was rewritten as a whole.
    fn verify_audit(&self, noted: Option<&AuditHead>) -> Result<AuditSummary, AuditBroken>;

    /// Adds the rows to the stored counters, all or none.
    fn add_usage(&self, rows: &[UsageRow]) -> Result<(), StoreError>;

    /// The counters of one tenant, or of all tenants, ordered by tenant and model.
    fn usage(&self, tenant: Option<&str>) -> Result<StoredUsage, StoreError>;
}

/// The number of a change: 1 for the first, then without gaps, and 0 for a store without one. It is the number of the
/// change's entry in the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Changes {
    /// Each document that changed, once, as it is at `revision`, in the order of the last changes to them.
    Known { revision: Revision, documents: Vec<ChangedDocument> },
    /// The store does not know all changes, and the reader calls [`Metadata::load`]. The revision is older than the changes
    /// that are kept (of the last 1000 revisions), or the store never had it, or something is damaged.
    Unknown,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ChangedDocument {
    pub kind: String,
    pub key: String,
    /// `None` if the document was removed.
    pub value: Option<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub kind: String,
    pub key: String,
    pub value: Value,
}

#[derive(Debug, Default)]
pub struct Loaded {
    pub revision: Revision,
    /// In the order in which they were first written.
    pub documents: Vec<Document>,
    pub damaged: Vec<Corrupt>,
    /// Damage that was repaired from undamaged data. The disk should still be checked.
    pub repaired: Vec<Repaired>,
}

/// A document or usage row whose contents are not what was written. Its kind and key may be damaged, too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} `{key}` is damaged: {why}. Write it again, or restore a backup")]
pub struct Corrupt {
    pub kind: String,
    pub key: String,
    pub why: String,
}

/// Damage that was repaired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} was damaged, and was made again. Check the disk")]
pub struct Repaired {
    pub what: &'static str,
    /// Details for the host's log, in the words of what lies below the store.
    pub details: String,
}

/// One administrative act: the documents that it writes, and its entry in the audit log.
#[derive(Clone, Debug)]
pub struct Change {
    /// Done in order. A document may be written several times; the last write counts.
    pub writes: Vec<Write>,
    pub act: Act,
    /// True if the change takes rights away. On a full disk, it gets room that is kept for such changes.
    pub revokes: bool,
    /// Usage that gets another name in the same transaction.
    pub renamed_usage: Option<RenamedUsage>,
}

/// The usage of a tenant that is listed under another name from now on. Nothing stays under the old one, not even damaged
/// rows.
#[derive(Clone, Debug)]
pub struct RenamedUsage {
    pub from: String,
    pub to: String,
}

#[derive(Clone, Debug)]
pub struct Write {
    pub kind: &'static str,
    pub key: String,
    /// `None` removes the document; it is not an error if there is none.
    pub value: Option<Value>,
}

/// The contents of an audit entry; the store adds the time and the place in the chain.
#[derive(Clone, Debug)]
pub struct Act {
    pub who: String,
    pub what: String,
    pub subject: String,
    pub before: Value,
    pub after: Value,
}

/// One tenant's use of one model. Counters saturate at 2^63 - 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    pub tenant: String,
    pub model: String,
    pub requests: u64,
    pub refused: u64,
    pub fuel: u64,
    pub cpu_nanoseconds: u64,
    pub request_bytes: u64,
    pub reply_bytes: u64,
}

#[derive(Debug, Default)]
pub struct StoredUsage {
    pub rows: Vec<UsageRow>,
    /// Rows that are left out of `rows`, because they do not match their hash. Later usage is counted in a new row.
    pub damaged: Vec<Corrupt>,
}
