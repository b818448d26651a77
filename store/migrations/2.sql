-- Version 2. Never edited once released: a later version is another file.

-- One row for each of the last revisions: the documents that it changed. A reader that asks for changes since an earlier
-- revision reads all documents. No NOT NULL and not STRICT: a damaged row is found by its hash, and counts as not kept.
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY,
    documents TEXT,
    hash BLOB
);
