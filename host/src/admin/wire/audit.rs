//! Bodies of `/v1/audit`.

use std::time::{Duration, UNIX_EPOCH};

use bulkhead_store::{AuditEntry, AuditHead as StoredHead, AuditSummary};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An entry of the audit log, as it was written.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLine {
    id: u64,
    /// The time, as RFC 3339 with milliseconds.
    at: String,
    who: String,
    what: String,
    subject: String,
    before: Value,
    after: Value,
    /// The hash of the entry before; zeros in the first entry.
    previous: String,
    hash: String,
    /// True if the entry matches its hash; `verify` checks the chain as a whole.
    intact: bool,
}

/// Reply to a verification that found the log whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditVerified {
    /// The last entry that was moved to a file in the data folder's `audit`; its count is 0 if none was. The log in the
    /// database was verified from there on.
    base: AuditHead,
    /// The head of the log. A copy that is noted elsewhere as `count:hash` shows later if an entry up to it was rewritten.
    head: AuditHead,
}

#[derive(Debug, Serialize, ToSchema)]
struct AuditHead {
    count: u64,
    hash: String,
}

impl From<AuditEntry> for AuditLine {
    fn from(entry: AuditEntry) -> AuditLine {
        let AuditEntry { id, at, who, what, subject, before, after, previous, hash, intact } = entry;
        let (previous, hash) = (previous.hex(), hash.hex());
        let at = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at)).to_string();
        AuditLine { id, at, who, what, subject, before, after, previous, hash, intact }
    }
}

impl From<AuditSummary> for AuditVerified {
    fn from(whole: AuditSummary) -> AuditVerified {
        let head = |StoredHead { count, hash }| AuditHead { count, hash: hash.hex() };
        AuditVerified { base: head(whole.base), head: head(whole.head) }
    }
}
